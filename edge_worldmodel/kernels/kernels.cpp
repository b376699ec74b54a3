#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Rounding moves a distance by less than this. Bounds that skip work keep this distance from what they could change.
constexpr double kSlackM = 1e-9;

struct Vec {
    double x, y;
};

// An outline with what every distance to it needs.
class Outline {
public:
    explicit Outline(const EdgeFootprint& footprint) : corners_(footprint.corners), radius_m_(footprint.radius_m) {
        if (corners_ == 0) {
            low_ = {-radius_m_, -radius_m_};
            high_ = {radius_m_, radius_m_};
        }
        for (int64_t i = 0; i < corners_; ++i) {
            const int64_t next = i + 1 < corners_ ? i + 1 : 0;
            start_[i] = {footprint.outline[2 * i], footprint.outline[2 * i + 1]};
            edge_[i] = {footprint.outline[2 * next] - start_[i].x, footprint.outline[2 * next + 1] - start_[i].y};
            length2_[i] = std::max(edge_[i].x * edge_[i].x + edge_[i].y * edge_[i].y, 1e-18);
            low_ = {std::min(low_.x, start_[i].x), std::min(low_.y, start_[i].y)};
            high_ = {std::max(high_.x, start_[i].x), std::max(high_.y, start_[i].y)};
        }
    }

    // Squared distance of a point to the bounding box, 0 inside: a cheap lower bound of the clearance outside of it.
    double bound2(Vec point) const {
        const double x = std::max(std::max(low_.x - point.x, point.x - high_.x), 0.0);
        const double y = std::max(std::max(low_.y - point.y, point.y - high_.y), 0.0);
        return x * x + y * y;
    }

    // Distance of a point to the footprint, negative inside; twin: RobotFootprint.clearance.
    double clearance(Vec point) const {
        if (corners_ == 0) {
            return std::sqrt(point.x * point.x + point.y * point.y) - radius_m_;
        }
        double smallest = kInfinity;
        bool inside = false;
        for (int64_t i = 0; i < corners_; ++i) {
            const Vec offset{point.x - start_[i].x, point.y - start_[i].y};
            const double along = (offset.x * edge_[i].x + offset.y * edge_[i].y) / length2_[i];
            const double on_edge = std::min(std::max(along, 0.0), 1.0);
            const Vec gap{offset.x - on_edge * edge_[i].x, offset.y - on_edge * edge_[i].y};
            smallest = std::min(smallest, gap.x * gap.x + gap.y * gap.y);
            inside ^= crossed(i, point);
        }
        return inside ? -std::sqrt(smallest) : std::sqrt(smallest);
    }

private:
    // Whether a ray from the point along +x crosses an edge.
    bool crossed(int64_t i, Vec point) const {
        if ((start_[i].y > point.y) == (start_[i].y + edge_[i].y > point.y)) {
            return false;
        }
        const double rise = edge_[i].y == 0.0 ? 1.0 : edge_[i].y;
        return point.x < start_[i].x + (point.y - start_[i].y) * edge_[i].x / rise;
    }

    int64_t corners_;
    double radius_m_;
    Vec start_[EDGE_MAX_CORNERS], edge_[EDGE_MAX_CORNERS];
    double length2_[EDGE_MAX_CORNERS];
    Vec low_{kInfinity, kInfinity}, high_{-kInfinity, -kInfinity};
};

// Pose of a path; the frame of the footprint there.
struct Frame {
    double x, y, cos, sin;

    Vec local(Vec point) const {
        const Vec offset{point.x - x, point.y - y};
        return {cos * offset.x + sin * offset.y, cos * offset.y - sin * offset.x};
    }
};

// Sweeps the footprint along a path past points in small blocks, in which the bounds are computed without branches. Only
// a point whose bound is low enough to change the result is looked at on its own.
class Sweep {
public:
    Sweep(const EdgeFootprint& footprint, const EdgePath& path, const EdgeRule& rule, const double* points, int64_t count)
        : outline_(footprint), path_(path), rule_(rule), points_(points), count_(count) {}

    void run() {
        // The first and the last pose tell early how near the points come; all others then need less work.
        pass(path_.count - 1, false);
        for (int64_t pose = 0; pose < path_.count; ++pose) {
            pass(pose, first_blocked_ < 0);
        }
    }

    int64_t first_blocked() const { return first_blocked_; }
    double smallest_m() const { return smallest_; }

private:
    static constexpr int64_t kBlock = 64;

    Frame frame(int64_t pose) const {
        const double* p = path_.poses + 4 * pose;
        return {p[0], p[1], p[2], p[3]};
    }

    void pass(int64_t pose, bool counts) {
        const Frame here = frame(pose);
        int64_t hits = 0;
        for (int64_t first = 0; first < count_; first += kBlock) {
            const int64_t size = std::min(kBlock, count_ - first);
            hits += pass_block(here, points_ + 2 * first, size, counts);
        }
        if (counts && hits >= rule_.min_hits) {
            first_blocked_ = pose;
        }
    }

    // Returns the number of points of a block that block the path here.
    int64_t pass_block(const Frame& here, const double* points, int64_t size, bool counts) {
        double bound2[kBlock];
        double lowest2 = kInfinity;
        for (int64_t i = 0; i < size; ++i) {
            bound2[i] = outline_.bound2(here.local({points[2 * i], points[2 * i + 1]}));
        }
        for (int64_t i = 0; i < size; ++i) {
            lowest2 = std::min(lowest2, bound2[i]);
        }
        if (!matters(lowest2, counts)) {
            return 0;
        }
        int64_t hits = 0;
        for (int64_t i = 0; i < size; ++i) {
            if (matters(bound2[i], counts)) {
                hits += blocks(here, {points[2 * i], points[2 * i + 1]}, counts) ? 1 : 0;
            }
        }
        return hits;
    }

    // Whether a point with this bound can change the result.
    bool matters(double bound2, bool counts) const {
        const double below = counts ? std::max(rule_.kept_m + kSlackM, smallest_) : smallest_;
        return bound2 == 0.0 || (below > 0.0 && bound2 < below * below);
    }

    bool blocks(const Frame& here, Vec point, bool counts) {
        const double clearance = outline_.clearance(here.local(point));
        smallest_ = std::min(smallest_, clearance);
        return counts && clearance < rule_.kept_m &&
               clearance < outline_.clearance(frame(0).local(point)) - rule_.closer_m;
    }

    Outline outline_;
    EdgePath path_;
    EdgeRule rule_;
    const double* points_;
    int64_t count_;
    int64_t first_blocked_ = -1;
    double smallest_ = kInfinity;
};

// Direction of an offset, in steps of the "diamond angle": monotonic in the angle like atan2, but exact in any language.
int64_t direction_of(Vec offset, int64_t directions) {
    const double size = std::fabs(offset.x) + std::fabs(offset.y);
    const double part = size > 0.0 ? offset.y / size : 0.0;
    const double turn = offset.x < 0.0 ? 2.0 - part : (offset.y < 0.0 ? 4.0 + part : part);
    return std::min(static_cast<int64_t>(turn * (static_cast<double>(directions) / 4.0)), directions - 1);
}

} // namespace

int64_t edge_kernels_version(void) {
    return EDGE_WORLDMODEL_KERNELS_VERSION;
}

int32_t edge_sweep_footprint(const EdgeFootprint* footprint, const EdgePath* path, const EdgeRule* rule,
                             const double* points, int64_t count, int64_t* first_blocked, double* clearance_m) {
    if (footprint->corners < 0 || footprint->corners > EDGE_MAX_CORNERS || path->count < 1 ||
        path->count > EDGE_MAX_POSES || count < 0) {
        return 1;
    }
    Sweep sweep(*footprint, *path, *rule, points, count);
    sweep.run();
    *first_blocked = sweep.first_blocked();
    *clearance_m = sweep.smallest_m();
    return 0;
}

int32_t edge_nearest_by_direction(const double* offsets, const uint8_t* obstacle, int64_t count, int64_t directions,
                                  int64_t* chosen, int64_t* hits, int64_t* total) {
    if (count < 0 || directions < 1 || directions > EDGE_MAX_DIRECTIONS) {
        return 1;
    }
    int64_t nearest[EDGE_MAX_DIRECTIONS], farthest[EDGE_MAX_DIRECTIONS];
    double near2[EDGE_MAX_DIRECTIONS], far2[EDGE_MAX_DIRECTIONS];
    std::fill_n(nearest, directions, int64_t{-1});
    std::fill_n(farthest, directions, int64_t{-1});
    std::fill_n(near2, directions, kInfinity);
    std::fill_n(far2, directions, -1.0);
    for (int64_t i = 0; i < count; ++i) {
        const Vec offset{offsets[2 * i], offsets[2 * i + 1]};
        const double range2 = offset.x * offset.x + offset.y * offset.y;
        const int64_t at = direction_of(offset, directions);
        if (obstacle[i] != 0 && range2 < near2[at]) {
            near2[at] = range2;
            nearest[at] = i;
        } else if (obstacle[i] == 0 && range2 > far2[at]) {
            far2[at] = range2;
            farthest[at] = i;
        }
    }
    int64_t end = 0;
    for (int64_t at = 0; at < directions; ++at) {
        if (nearest[at] >= 0) {
            chosen[end++] = nearest[at];
        }
    }
    *hits = end;
    for (int64_t at = 0; at < directions; ++at) {
        if (nearest[at] < 0 && farthest[at] >= 0) {
            chosen[end++] = farthest[at];
        }
    }
    *total = end;
    return 0;
}

int32_t edge_mark_near(const double* points, const int64_t* starts, int64_t cells, const double* others, int64_t count,
                       const double* corner, int64_t columns, double radius_m, uint8_t* near) {
    if (count < 0 || columns < 3 || cells < 3 * columns || cells % columns != 0 || !(radius_m > 0.0)) {
        return 1;
    }
    const double right = static_cast<double>(columns - 1), top = static_cast<double>(cells / columns - 1);
    for (int64_t i = 0; i < count; ++i) {
        const Vec other{others[2 * i], others[2 * i + 1]};
        const double x = std::floor((other.x - corner[0]) / radius_m), y = std::floor((other.y - corner[1]) / radius_m);
        if (!(x >= 1.0 && x < right && y >= 1.0 && y < top)) {
            continue;
        }
        const int64_t middle = static_cast<int64_t>(y) * columns + static_cast<int64_t>(x);
        for (const int64_t cell : {middle - columns, middle, middle + columns}) {
            for (int64_t j = starts[cell - 1]; j < starts[cell + 2]; ++j) {
                const Vec apart{points[2 * j] - other.x, points[2 * j + 1] - other.y};
                if (apart.x * apart.x + apart.y * apart.y <= radius_m * radius_m) {
                    near[j] = 1;
                }
            }
        }
    }
    return 0;
}

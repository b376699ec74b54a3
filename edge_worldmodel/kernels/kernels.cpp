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
        for (int64_t i = 0; i < corners_; ++i) {
            const int64_t next = i + 1 < corners_ ? i + 1 : 0;
            start_[i] = {footprint.outline[2 * i], footprint.outline[2 * i + 1]};
            edge_[i] = {footprint.outline[2 * next] - start_[i].x, footprint.outline[2 * next + 1] - start_[i].y};
            length2_[i] = std::max(edge_[i].x * edge_[i].x + edge_[i].y * edge_[i].y, 1e-18);
            low_ = {std::min(low_.x, start_[i].x), std::min(low_.y, start_[i].y)};
            high_ = {std::max(high_.x, start_[i].x), std::max(high_.y, start_[i].y)};
        }
    }

    // A cheap lower bound of the clearance outside of the bounding box, -inf inside; of a circle its clearance.
    double bound(Vec point) const {
        if (corners_ == 0) {
            return clearance(point);
        }
        const double x = std::max(std::max(low_.x - point.x, point.x - high_.x), 0.0);
        const double y = std::max(std::max(low_.y - point.y, point.y - high_.y), 0.0);
        return x > 0.0 || y > 0.0 ? std::sqrt(x * x + y * y) : -kInfinity;
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

// Sweeps the footprint past one point after the other. A point is looked at only at poses where it could matter: its
// clearance changes by at most one step from pose to pose.
class Sweep {
public:
    Sweep(const EdgeFootprint& footprint, const EdgePath& path, const EdgeRule& rule)
        : outline_(footprint), path_(path), rule_(rule), first_blocked_(path.count),
          step_m_(path.step_m * (1.0 + 1e-6) + 1e-12) {}

    void pass(Vec point) {
        double at_start = std::numeric_limits<double>::quiet_NaN();
        for (double at = 0.0; at < static_cast<double>(path_.count);) {
            const auto pose = static_cast<int64_t>(at);
            const bool counts = pose <= first_blocked_;
            const double matters = counts ? std::max(rule_.kept_m + kSlackM, smallest_) : smallest_;
            const Vec local = in_frame(pose, point);
            double clearance = outline_.bound(local);
            if (clearance < matters) {
                clearance = outline_.clearance(local);
                smallest_ = std::min(smallest_, clearance);
                if (counts && clearance < rule_.kept_m) {
                    at_start = std::isnan(at_start) ? clearance_at_start(point) : at_start;
                    count(pose, clearance < at_start - rule_.closer_m);
                }
            }
            at += 1.0 + std::max(std::floor((clearance - matters) / step_m_), 0.0);
        }
    }

    int64_t first_blocked() const { return first_blocked_ < path_.count ? first_blocked_ : -1; }
    double smallest_m() const { return smallest_; }

private:
    Vec in_frame(int64_t pose, Vec point) const {
        const double* p = path_.poses + 4 * pose;
        const Vec offset{point.x - p[0], point.y - p[1]};
        return {p[2] * offset.x + p[3] * offset.y, p[2] * offset.y - p[3] * offset.x};
    }

    double clearance_at_start(Vec point) const {
        return outline_.clearance(in_frame(0, point));
    }

    void count(int64_t pose, bool blocks) {
        hits_[pose] += blocks ? 1 : 0;
        if (hits_[pose] >= rule_.min_hits) {
            first_blocked_ = std::min(first_blocked_, pose);
        }
    }

    Outline outline_;
    EdgePath path_;
    EdgeRule rule_;
    int64_t first_blocked_;
    double step_m_;
    double smallest_ = kInfinity;
    int64_t hits_[EDGE_MAX_POSES] = {};
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
    Sweep sweep(*footprint, *path, *rule);
    for (int64_t i = 0; i < count; ++i) {
        sweep.pass({points[2 * i], points[2 * i + 1]});
    }
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

int32_t edge_mark_near(const double* points, const int64_t* keys, int64_t count, const double* others,
                       int64_t other_count, const double* corner, int64_t columns, double radius_m, uint8_t* near) {
    if (count < 0 || other_count < 0 || columns < 1 || !(radius_m > 0.0)) {
        return 1;
    }
    for (int64_t i = 0; i < other_count; ++i) {
        const Vec other{others[2 * i], others[2 * i + 1]};
        const auto ix = static_cast<int64_t>(std::floor((other.x - corner[0]) / radius_m));
        const auto iy = static_cast<int64_t>(std::floor((other.y - corner[1]) / radius_m));
        for (int64_t row = iy - 1; row <= iy + 1; ++row) {
            const int64_t* last = keys + count;
            const int64_t* at = std::lower_bound(keys, last, row * columns + ix - 1);
            for (; at != last && *at <= row * columns + ix + 1; ++at) {
                const int64_t j = at - keys;
                const Vec apart{points[2 * j] - other.x, points[2 * j + 1] - other.y};
                if (apart.x * apart.x + apart.y * apart.y <= radius_m * radius_m) {
                    near[j] = 1;
                }
            }
        }
    }
    return 0;
}

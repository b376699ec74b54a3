#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
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
        const double end_y = start_[i + 1 < corners_ ? i + 1 : 0].y;
        if ((start_[i].y > point.y) == (end_y > point.y)) {
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

// Sweeps the footprint along a path past points. Points that follow each other mostly lie together: a group of them is
// passed over where even the circle around it is too far away to change the result, and so is each point of the others.
class Sweep {
public:
    Sweep(const EdgeFootprint& footprint, const EdgePath& path, const EdgeRule& rule, const double* points, int64_t count)
        : outline_(footprint), path_(path), rule_(rule), points_(points), count_(count),
          size_(std::max(kSmallestGroup, (count + kMaxGroups - 1) / kMaxGroups)), groups_((count + size_ - 1) / size_) {
        for (int64_t i = 0; i < groups_; ++i) {
            surround(i);
        }
    }

    void run() {
        if (rule_.wants_clearance != 0) {
            // The first and the last pose tell early how near the points come; all others then need less work.
            pass(path_.count - 1, false);
        }
        for (int64_t pose = 0; pose < path_.count && (first_blocked_ < 0 || rule_.wants_clearance != 0); ++pose) {
            pass(pose, first_blocked_ < 0);
        }
    }

    int64_t first_blocked() const { return first_blocked_; }
    double smallest_m() const {
        return rule_.wants_clearance != 0 ? smallest_ : std::numeric_limits<double>::quiet_NaN();
    }

private:
    static constexpr int64_t kMaxGroups = 512, kSmallestGroup = 16;

    int64_t end(int64_t group) const { return std::min((group + 1) * size_, count_); }
    Vec point(int64_t i) const { return {points_[2 * i], points_[2 * i + 1]}; }

    Frame frame(int64_t pose) const {
        const double* p = path_.poses + 4 * pose;
        return {p[0], p[1], p[2], p[3]};
    }

    void surround(int64_t group) {
        Vec low{kInfinity, kInfinity}, high{-kInfinity, -kInfinity};
        for (int64_t i = group * size_; i < end(group); ++i) {
            low = {std::min(low.x, point(i).x), std::min(low.y, point(i).y)};
            high = {std::max(high.x, point(i).x), std::max(high.y, point(i).y)};
        }
        const Vec half{0.5 * (high.x - low.x), 0.5 * (high.y - low.y)};
        centre_[group] = {low.x + half.x, low.y + half.y};
        around_m_[group] = std::sqrt(half.x * half.x + half.y * half.y) + kSlackM;
    }

    void pass(int64_t pose, bool counts) {
        const Frame here = frame(pose);
        int64_t hits = 0;
        for (int64_t group = 0; group < groups_; ++group) {
            if (is_near(outline_.bound2(here.local(centre_[group])), around_m_[group], counts)) {
                hits += pass_group(here, group, counts);
            }
        }
        if (counts && hits >= rule_.min_hits) {
            first_blocked_ = pose;
        }
    }

    // Returns the number of points of a group that block the path here.
    int64_t pass_group(const Frame& here, int64_t group, bool counts) {
        int64_t hits = 0;
        for (int64_t i = group * size_; i < end(group); ++i) {
            if (matters(outline_.bound2(here.local(point(i))), counts)) {
                hits += blocks(here, point(i), counts) ? 1 : 0;
            }
        }
        return hits;
    }

    // Whether a point of a group can change the result, if the centre of the group has this bound.
    bool is_near(double bound2, double around_m, bool counts) const {
        const double near_m = std::max(below(counts), 0.0) + around_m;
        return bound2 < near_m * near_m;
    }

    // Whether a point with this bound can change the result.
    bool matters(double bound2, bool counts) const {
        const double below_m = below(counts);
        return bound2 == 0.0 || (below_m > 0.0 && bound2 < below_m * below_m);
    }

    // Only clearances below this can change the result.
    double below(bool counts) const {
        const double blocking_m = rule_.kept_m + kSlackM;
        if (rule_.wants_clearance == 0) {
            return blocking_m;
        }
        return counts ? std::max(blocking_m, smallest_) : smallest_;
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
    int64_t count_, size_, groups_;
    Vec centre_[kMaxGroups];
    double around_m_[kMaxGroups];
    int64_t first_blocked_ = -1;
    double smallest_ = kInfinity;
};

// Diamond angle of an offset, 0 to 4 from +x: it grows with the angle like atan2, but is exact in any language.
double diamond_angle(Vec offset) {
    const double size = std::fabs(offset.x) + std::fabs(offset.y);
    const double part = size > 0.0 ? offset.y / size : 0.0;
    return offset.x < 0.0 ? 2.0 - part : (offset.y < 0.0 ? 4.0 + part : part);
}

int64_t direction_of(Vec offset, int64_t directions) {
    return std::min(static_cast<int64_t>(diamond_angle(offset) * (static_cast<double>(directions) / 4.0)), directions - 1);
}

// In each direction the nearest obstacle and the farthest other point; the first of equal ones.
class ByDirection {
public:
    explicit ByDirection(int64_t directions) : directions_(directions) {
        std::fill_n(nearest_, directions, int64_t{-1});
        std::fill_n(farthest_, directions, int64_t{-1});
        std::fill_n(near2_, directions, kInfinity);
        std::fill_n(far2_, directions, -1.0);
    }

    void add(int64_t row, Vec offset, bool is_obstacle) {
        const double range2 = offset.x * offset.x + offset.y * offset.y;
        const int64_t at = direction_of(offset, directions_);
        if (is_obstacle && range2 < near2_[at]) {
            near2_[at] = range2;
            nearest_[at] = row;
        } else if (!is_obstacle && range2 > far2_[at]) {
            far2_[at] = range2;
            farthest_[at] = row;
        }
    }

    // Writes the rows, obstacles first, and their number; returns the number of obstacles.
    int64_t write(int64_t* chosen, int64_t* total) const {
        int64_t end = 0;
        for (int64_t at = 0; at < directions_; ++at) {
            if (nearest_[at] >= 0) {
                chosen[end++] = nearest_[at];
            }
        }
        const int64_t hits = end;
        for (int64_t at = 0; at < directions_; ++at) {
            if (nearest_[at] < 0 && farthest_[at] >= 0) {
                chosen[end++] = farthest_[at];
            }
        }
        *total = end;
        return hits;
    }

private:
    int64_t directions_;
    int64_t nearest_[EDGE_MAX_DIRECTIONS], farthest_[EDGE_MAX_DIRECTIONS];
    double near2_[EDGE_MAX_DIRECTIONS], far2_[EDGE_MAX_DIRECTIONS];
};

// A float in a record, which need not be aligned.
double number(const uint8_t* at) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return static_cast<double>(value);
}

// Bin of the direction of an offset. Bins are nearly even in the diamond angle, so the search begins close to the bin.
int64_t bin_of(const EdgeBins& bins, Vec offset) {
    const double angle = diamond_angle({-offset.x, -offset.y});
    const double guess = angle * (static_cast<double>(bins.count) / 4.0);
    int64_t bin = guess < static_cast<double>(bins.count) ? static_cast<int64_t>(guess) : bins.count - 1;
    while (bin > 0 && angle < bins.starts[bin]) {
        --bin;
    }
    while (bin + 1 < bins.count && angle >= bins.starts[bin + 1]) {
        ++bin;
    }
    return bin;
}

bool fits(const EdgeBins& bins) {
    return bins.count >= 1 && bins.count <= EDGE_MAX_BINS;
}

// The two longest rays of some.
struct TwoLongest {
    double first = 0.0, second = 0.0;

    void add(double length_m) {
        second = std::max(second, std::min(first, length_m));
        first = std::max(first, length_m);
    }

    void add(const TwoLongest& other) {
        second = std::max(second, other.second);
        add(other.first);
    }
};

// Whether a place lies within the reach of a look, by a tolerance.
bool reaches(const EdgeBins& bins, const double* look, double tolerance_m, Vec place) {
    const Vec local = Frame{look[0], look[1], look[2], look[3]}.local(place);
    const Vec offset{local.x - look[4], local.y - look[5]};
    const double length_m = std::sqrt(offset.x * offset.x + offset.y * offset.y);
    return length_m <= look[6] + tolerance_m && length_m <= look[7 + bin_of(bins, offset)] + tolerance_m;
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
    ByDirection found(directions);
    for (int64_t i = 0; i < count; ++i) {
        found.add(i, {offsets[2 * i], offsets[2 * i + 1]}, obstacle[i] != 0);
    }
    *hits = found.write(chosen, total);
    return 0;
}

int32_t edge_nearest_in_cloud(const EdgeCloud* cloud, const EdgeView* view, const EdgeFootprint* own_body,
                              int64_t directions, int64_t* chosen, int64_t* total) {
    const int64_t last = cloud->step - static_cast<int64_t>(sizeof(float));
    const bool readable = std::min({cloud->x, cloud->y, cloud->z}) >= 0 && std::max({cloud->x, cloud->y, cloud->z}) <= last;
    if (cloud->count < 0 || !readable || own_body->corners < 0 || own_body->corners > EDGE_MAX_CORNERS || directions < 1 ||
        directions > EDGE_MAX_DIRECTIONS) {
        return 1;
    }
    const Outline body(*own_body);
    const double* m = view->mount;
    ByDirection found(directions);
    for (int64_t i = 0; i < cloud->count; ++i) {
        const uint8_t* record = cloud->data + i * cloud->step;
        const double x = number(record + cloud->x), y = number(record + cloud->y), z = number(record + cloud->z);
        const double largest = std::max({std::fabs(x), std::fabs(y), std::fabs(z)});
        if (!std::isfinite(x + y + z) || largest <= view->own_place_m) {
            continue;
        }
        const Vec place{m[0] * x + m[1] * y + m[2] * z + m[3], m[4] * x + m[5] * y + m[6] * z + m[7]};
        if (own_body->corners > 0 && body.bound2(place) == 0.0 && body.clearance(place) < 0.0) {
            continue;
        }
        const double height_m = m[8] * x + m[9] * y + m[10] * z + m[11];
        found.add(i, {place.x - m[3], place.y - m[7]}, height_m >= view->low_m && height_m <= view->high_m);
    }
    found.write(chosen, total);
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

int32_t edge_rays(const EdgeBins* bins, const double* origin, const double* ends, int64_t count, double* lengths_m,
                  int64_t* bin, double* reach_m) {
    if (count < 0 || !fits(*bins)) {
        return 1;
    }
    TwoLongest longest[EDGE_MAX_BINS];
    for (int64_t i = 0; i < count; ++i) {
        const Vec offset{ends[2 * i] - origin[0], ends[2 * i + 1] - origin[1]};
        lengths_m[i] = std::sqrt(offset.x * offset.x + offset.y * offset.y);
        bin[i] = bin_of(*bins, offset);
        longest[bin[i]].add(lengths_m[i]);
    }
    for (int64_t i = 0; i < bins->count; ++i) {
        TwoLongest around = longest[i];
        around.add(longest[i > 0 ? i - 1 : bins->count - 1]);
        around.add(longest[i + 1 < bins->count ? i + 1 : 0]);
        reach_m[i] = around.second;
    }
    return 0;
}

int32_t edge_looked_at(const EdgeFootprint* footprint, const EdgeBins* bins, const EdgeLooks* looks,
                       const double* places, int64_t count, uint8_t* seen) {
    if (footprint->corners < 0 || footprint->corners > EDGE_MAX_CORNERS || looks->count < 0 || looks->body_count < 0 ||
        count < 0 || !fits(*bins)) {
        return 1;
    }
    const Outline outline(*footprint);
    const double beside_m = looks->body_tolerance_m + kSlackM;
    for (int64_t i = 0; i < count; ++i) {
        const Vec place{places[2 * i], places[2 * i + 1]};
        bool found = false;
        for (int64_t j = 0; !found && j < looks->count; ++j) {
            found = reaches(*bins, looks->looks + j * (7 + bins->count), looks->tolerance_m, place);
        }
        for (int64_t j = 0; !found && j < looks->body_count; ++j) {
            const double* body = looks->bodies + 4 * j;
            const Vec local = Frame{body[0], body[1], body[2], body[3]}.local(place);
            found = outline.bound2(local) <= beside_m * beside_m && outline.clearance(local) <= looks->body_tolerance_m;
        }
        seen[i] = found ? 1 : 0;
    }
    return 0;
}

int32_t edge_compare_views(const EdgeBins* bins, const EdgeViews* views, const double* places, int64_t count,
                           uint8_t* occupied, uint8_t* seen_free) {
    if (!fits(*bins) || views->count < 0 || views->around < 0 || views->around > bins->count || count < 0) {
        return 1;
    }
    const int64_t padded = bins->count + 2 * views->around, row = 6 + 2 * padded + bins->count;
    for (int64_t v = 0; v < views->count; ++v) {
        const double* view = views->views + v * row;
        const double *low_m = view + 6, *high_m = low_m + padded, *passed_m = high_m + padded;
        const Frame frame{view[0], view[1], view[2], view[3]};
        for (int64_t i = 0; i < count; ++i) {
            const Vec local = frame.local({places[2 * i], places[2 * i + 1]});
            const Vec offset{local.x - view[4], local.y - view[5]};
            const double range_m = std::sqrt(offset.x * offset.x + offset.y * offset.y);
            const int64_t bin = bin_of(*bins, offset);
            bool found = false;
            for (int64_t beside = bin; beside <= bin + 2 * views->around; ++beside) {
                found = found || (low_m[beside] <= range_m && range_m <= high_m[beside]);
            }
            occupied[v * count + i] = found ? 1 : 0;
            seen_free[v * count + i] = !found && range_m < passed_m[bin] ? 1 : 0;
        }
    }
    return 0;
}

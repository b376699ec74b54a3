// Calls the kernels with random and degenerate input, for the sanitizers; checks what can be seen from outside.
#include "kernels.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

namespace {

int failures = 0;

void expect(bool holds, const char* text) {
    if (!holds) {
        std::printf("failed: %s\n", text);
        ++failures;
    }
}

std::vector<double> draw_points(std::mt19937& random, int64_t count, int kind) {
    std::normal_distribution<double> normal(0.0, 1.5);
    std::vector<double> points(2 * static_cast<size_t>(count));
    for (double& value : points) {
        value = kind == 0 ? 0.0 : kind == 1 ? std::round(normal(random)) : normal(random);
    }
    return points;
}

void sweep(std::mt19937& random, int64_t corners, int64_t poses, int64_t count, int kind) {
    const std::vector<double> outline = draw_points(random, corners, 2);
    const std::vector<double> points = draw_points(random, count, kind);
    std::vector<double> path(4 * static_cast<size_t>(poses));
    for (size_t i = 0; i < static_cast<size_t>(poses); ++i) {
        path[4 * i] = 0.04 * static_cast<double>(i);
        path[4 * i + 2] = 1.0;
    }
    const EdgeFootprint footprint{outline.data(), corners, 0.3};
    const EdgePath edge_path{path.data(), poses, kind == 0 ? 0.0 : 0.04};
    const EdgeRule rule{0.1, 1e-6, 1 + kind, count % 2};
    int64_t blocked = -2;
    double clearance_m = 0.0;
    const bool fits = corners <= EDGE_MAX_CORNERS && poses >= 1 && poses <= EDGE_MAX_POSES;
    const int32_t result =
        edge_sweep_footprint(&footprint, &edge_path, &rule, points.data(), count, &blocked, &clearance_m);
    expect(result == (fits ? 0 : 1), "sizes are checked");
    expect(!fits || (blocked >= -1 && blocked < poses), "the blocked pose is one of the path");
}

void choose(std::mt19937& random, int64_t directions, int64_t count, int kind) {
    const std::vector<double> offsets = draw_points(random, count, kind);
    std::vector<uint8_t> obstacle(static_cast<size_t>(count));
    for (uint8_t& flag : obstacle) {
        flag = random() % 2;
    }
    std::vector<int64_t> chosen(2 * static_cast<size_t>(directions));
    int64_t hits = -1, total = -1;
    const int32_t result =
        edge_nearest_by_direction(offsets.data(), obstacle.data(), count, directions, chosen.data(), &hits, &total);
    const bool fits = directions >= 1 && directions <= EDGE_MAX_DIRECTIONS;
    expect(result == (fits ? 0 : 1), "directions are checked");
    expect(!fits || (0 <= hits && hits <= total && total <= directions), "at most one point in a direction");
}

void choose_in_cloud(std::mt19937& random, int64_t count, int64_t directions, int64_t step, int64_t corners) {
    std::vector<uint8_t> data(static_cast<size_t>(count * step));
    for (uint8_t& byte : data) {
        byte = static_cast<uint8_t>(random());
    }
    const std::vector<double> outline = draw_points(random, corners, 1);
    const double mount[12] = {1, 0, 0, 0.2, 0, 1, 0, 0, 0, 0, 1, 0.3};
    std::vector<int64_t> chosen(2 * static_cast<size_t>(std::max<int64_t>(directions, 1)));
    int64_t total = -1;
    const EdgeCloud cloud{data.data(), count, step, 0, 4, step - 4};
    const EdgeView view{mount, 0.01, 0.1, 2.0};
    const EdgeFootprint body{outline.data(), corners, 0.0};
    const int32_t result = edge_nearest_in_cloud(&cloud, &view, &body, directions, chosen.data(), &total);
    const bool fits = directions >= 1 && directions <= EDGE_MAX_DIRECTIONS && corners <= EDGE_MAX_CORNERS;
    expect(result == (fits ? 0 : 1), "sizes of a cloud are checked");
    expect(!fits || (0 <= total && total <= directions), "at most one point in a direction");
    const EdgeCloud beyond{data.data(), count, step, 0, 4, step - 3};
    expect(edge_nearest_in_cloud(&beyond, &view, &body, directions, chosen.data(), &total) == 1, "fields lie in the record");
}

void mark(std::mt19937& random, int64_t count, int kind) {
    const std::vector<double> points = draw_points(random, 1, 0), others = draw_points(random, count, kind);
    const double corner[2] = {-1.0, -1.0};
    // 7 x 7 cells of 0.3 m with one point at the origin, in cell (3, 3).
    int64_t starts[50];
    for (int64_t cell = 0; cell < 50; ++cell) {
        starts[cell] = cell > 3 * 7 + 3 ? 1 : 0;
    }
    uint8_t near = 0;
    expect(edge_mark_near(points.data(), starts, 49, others.data(), count, corner, 7, 0.3, &near) == 0, "marked");
    expect(kind != 0 || count == 0 || near == 1, "the same point is near");
    expect(edge_mark_near(points.data(), starts, 49, others.data(), count, corner, 8, 0.3, &near) == 1, "rectangle");
}

void look(std::mt19937& random, int64_t count, int64_t bin_count, int64_t corners, int kind) {
    std::vector<double> starts(static_cast<size_t>(bin_count));
    for (size_t i = 0; i < starts.size(); ++i) {
        starts[i] = 4.0 * static_cast<double>(i) / static_cast<double>(bin_count);
    }
    const EdgeBins bins{starts.data(), bin_count};
    const bool fits = bin_count >= 1 && bin_count <= EDGE_MAX_BINS;
    std::vector<double> ends = draw_points(random, count, kind);
    if (count > 0 && kind == 2) {
        ends[0] = std::numeric_limits<double>::quiet_NaN();
    }
    const double origin[2] = {0.0, 0.0};
    std::vector<double> lengths(static_cast<size_t>(count)), reach(static_cast<size_t>(bin_count));
    std::vector<int64_t> bin(static_cast<size_t>(count));
    const int32_t result = edge_rays(&bins, origin, ends.data(), count, lengths.data(), bin.data(), reach.data());
    expect(result == (fits ? 0 : 1), "bins are checked");
    for (const int64_t at : bin) {
        expect(!fits || (0 <= at && at < bin_count), "each ray has a bin");
    }
    std::vector<double> looks(static_cast<size_t>(3 * (7 + bin_count)), 1.0);
    const std::vector<double> outline = draw_points(random, corners, 2), bodies(8, 0.5);
    const EdgeFootprint footprint{outline.data(), corners, 0.3};
    const EdgeLooks seen_from{looks.data(), 3, 0.1, bodies.data(), 2, 0.05};
    std::vector<uint8_t> seen(static_cast<size_t>(count), 2);
    const int32_t looked = edge_looked_at(&footprint, &bins, &seen_from, ends.data(), count, seen.data());
    expect(looked == (fits && corners <= EDGE_MAX_CORNERS ? 0 : 1), "corners are checked");
    for (const uint8_t flag : seen) {
        expect(looked == 1 || flag < 2, "each place is told");
    }
    const int64_t around = kind == 0 ? bin_count + 1 : std::min<int64_t>(kind, bin_count);
    std::vector<double> rows(static_cast<size_t>(2 * (6 + 2 * (bin_count + 2 * around) + bin_count)), 0.5);
    const EdgeViews views{rows.data(), 2, around};
    std::vector<uint8_t> occupied(static_cast<size_t>(2 * count), 2), seen_free(occupied);
    const int32_t compared = edge_compare_views(&bins, &views, ends.data(), count, occupied.data(), seen_free.data());
    expect(compared == (fits && kind != 0 ? 0 : 1), "bins around are checked");
    for (size_t i = 0; i < occupied.size(); ++i) {
        expect(compared == 1 || occupied[i] + seen_free[i] < 2, "no place is occupied and free");
    }
}

} // namespace

int main() {
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        const int64_t count = static_cast<int64_t>(random() % 300);
        sweep(random, static_cast<int64_t>(random() % 70), static_cast<int64_t>(random() % 260), count, round % 3);
        choose(random, static_cast<int64_t>(random() % 5000), count, round % 3);
        choose_in_cloud(random, count, static_cast<int64_t>(random() % 5000), 12 + static_cast<int64_t>(random() % 40),
                        static_cast<int64_t>(random() % 70));
        mark(random, count, round % 3);
        look(random, count, static_cast<int64_t>(random() % 365), static_cast<int64_t>(random() % 70), round % 3);
    }
    expect(edge_kernels_version() == EDGE_WORLDMODEL_KERNELS_VERSION, "version");
    return failures == 0 ? 0 : 1;
}

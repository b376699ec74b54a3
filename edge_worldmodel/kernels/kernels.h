// Plain C interface of the compiled parts of the safety core. Each function computes, operation by operation, what its
// numpy twin in edge_worldmodel/core computes; the twins are the reference. No function allocates, throws or reads
// beyond the sizes it is given.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Changes with every change of this interface, so that an old library is never called.
#define EDGE_WORLDMODEL_KERNELS_VERSION 4

enum { EDGE_MAX_CORNERS = 64, EDGE_MAX_POSES = 256, EDGE_MAX_DIRECTIONS = 4096, EDGE_MAX_BINS = 360 };

int64_t edge_kernels_version(void);

// A footprint: corners (corners, 2), or with no corner a circle of radius_m around the base.
typedef struct {
    const double* outline;
    int64_t corners;
    double radius_m;
} EdgeFootprint;

// A path: poses (poses, 4) as x, y, cos(yaw), sin(yaw); no point of the footprint moves more than step_m between two.
typedef struct {
    const double* poses;
    int64_t count;
    double step_m;
} EdgePath;

// Rule by which points block: at least min_hits of them nearer than kept_m, each nearer than at the first pose by
// more than closer_m. Without wants_clearance the clearance is NaN, and points that cannot block cost next to nothing.
typedef struct {
    double kept_m;
    double closer_m;
    int64_t min_hits;
    int64_t wants_clearance;
} EdgeRule;

// Find the first blocked pose (-1: none) and the smallest clearance along a path among points (count, 2).
// Returns 0, or 1 if a size is out of range; then nothing is written.
int32_t edge_sweep_footprint(const EdgeFootprint* footprint, const EdgePath* path, const EdgeRule* rule,
                             const double* points, int64_t count, int64_t* first_blocked, double* clearance_m);

// Choose in each direction the nearest obstacle, or without one the farthest other point; the first of equal ones.
// chosen (2 * directions) takes rows of offsets (count, 2): obstacles, then others, each by direction.
// Returns 0, or 1 if a size is out of range.
int32_t edge_nearest_by_direction(const double* offsets, const uint8_t* obstacle, int64_t count, int64_t directions,
                                  int64_t* chosen, int64_t* hits, int64_t* total);

// Points as a driver sends them: count records of step bytes, with x, y and z at these offsets as little-endian floats.
typedef struct {
    const uint8_t* data;
    int64_t count, step, x, y, z;
} EdgeCloud;

// Where the sensor is, mount (3, 4), and what counts: points farther than own_place_m from it along an axis, obstacles
// from low_m to high_m above the base. Those inside the own body, an outline of at least 3 corners, are left out.
typedef struct {
    const double* mount;
    double own_place_m, low_m, high_m;
} EdgeView;

// As edge_nearest_by_direction, for a cloud as it arrives. chosen (2 * directions) takes rows of the cloud.
// Returns 0, or 1 if a size is out of range.
int32_t edge_nearest_in_cloud(const EdgeCloud* cloud, const EdgeView* view, const EdgeFootprint* own_body,
                              int64_t directions, int64_t* chosen, int64_t* total);

// Mark the points (starts[cells], 2), sorted by cell, that lie within radius_m of any of others (count, 2).
// starts (cells + 1): first point of each cell iy * columns + ix; cells of radius_m begin at corner (2).
// Others beyond the cells, or in one at their border, are left out. Returns 0, or 1 if a size is out of range.
int32_t edge_mark_near(const double* points, const int64_t* starts, int64_t cells, const double* others, int64_t count,
                       const double* corner, int64_t columns, double radius_m, uint8_t* near);

// Bins of direction: bin i begins at the diamond angle starts[i], the first one with the direction -x; growing.
typedef struct {
    const double* starts;
    int64_t count;
} EdgeBins;

// Lengths (count) of the rays from origin (2) to ends (count, 2), bins (count) of their directions, and for each bin the
// second longest ray in it and its two neighbours (0 without two). Returns 0, or 1 if a size is out of range.
int32_t edge_rays(const EdgeBins* bins, const double* origin, const double* ends, int64_t count, double* lengths_m,
                  int64_t* bin, double* reach_m);

// Looks (count, 7 + bins): x, y, cos(yaw), sin(yaw) of the base, position x, y of the sensor in it, the largest reach
// and the reach in each bin; bodies (bodies, 4): poses of the footprint.
typedef struct {
    const double* looks;
    int64_t count;
    double tolerance_m;
    const double* bodies;
    int64_t body_count;
    double body_tolerance_m;
} EdgeLooks;

// Mark the places (count, 2) that lie within the reach of one of the looks, or in one of the bodies, by the tolerances.
// Returns 0, or 1 if a size is out of range.
int32_t edge_looked_at(const EdgeFootprint* footprint, const EdgeBins* bins, const EdgeLooks* looks,
                       const double* places, int64_t count, uint8_t* seen);

// Views (count, 6 + 2 * (bins + 2 * around) + bins): x, y, cos(yaw), sin(yaw) of the base, position x, y of the sensor in
// it; nearest and farthest range of what lies in each bin, beginning around bins before the first; range up to which the
// rays passed each bin.
typedef struct {
    const double* views;
    int64_t count, around;
} EdgeViews;

// Whether places (count, 2) were occupied or seen free in each view, as (views, count): occupied if something lies at
// their range in their bin or in one of around bins to either side. Returns 0, or 1 if a size is out of range.
int32_t edge_compare_views(const EdgeBins* bins, const EdgeViews* views, const double* places, int64_t count,
                           uint8_t* occupied, uint8_t* seen_free);

#ifdef __cplusplus
}
#endif

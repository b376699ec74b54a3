// Tests of the watchdog's decisions: `program` runs them all, `program crc` computes checksums of commands on standard input.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "watchdog.hpp"

using namespace edge_worldmodel::watchdog;

namespace {

constexpr Nanoseconds kPeriod_ns = 20'000'000;
constexpr Limits kLimits{{0.8, 0.3, 0.2, 1.5}, 0.5, 2.0, 4.0, kPeriod_ns};
int failures = 0;

#define CHECK(condition) \
    do { \
        if (!(condition)) std::printf("%s:%d: %s\n", __func__, __LINE__, #condition), ++failures; \
    } while (false)

Command sealed(std::uint64_t sequence, const Twist& twist) {
    Command command{sequence, static_cast<std::int32_t>(sequence), 5, twist, 0};
    command.crc = command_crc(command);
    return command;
}

Command ahead(std::uint64_t sequence, double speed_mps) { return sealed(sequence, {speed_mps, 0, 0, 0, 0, 0}); }

Verdict agreeing(const Command& command, State state = State::active) { return {command, state, kLimits.speeds}; }

// A watchdog with a clock, and what it published.
struct Bench {
    Watchdog watchdog{kLimits};
    Nanoseconds now = 1'000'000'000;
    std::vector<Twist> published;
    std::vector<Nanoseconds> published_ns;
    std::uint64_t sequence = 0;

    void wake() { watchdog.wake(now); }
    void step() {
        if (const auto twist = watchdog.step()) published.push_back(*twist), published_ns.push_back(now);
    }
    void hear(const Command& command, const Verdict& verdict) {
        wake(), watchdog.receive(command), watchdog.receive(verdict), step();
    }
    void hear(const Command& command) { hear(command, agreeing(command)); }
    // Let time pass without a message, waking as the process does.
    void idle(Nanoseconds time_ns) {
        for (const Nanoseconds end = now + time_ns; now < end;) {
            now = std::min(end, std::max(watchdog.due(), now + 100'000));
            wake(), step();
        }
    }
    // Drive at a speed, reached from rest in steps that the limits allow.
    void drive(double speed_mps, int ticks = 40) {
        for (double speed = 0.0; ticks > 0; --ticks) {
            hear(ahead(++sequence, speed = std::min(speed_mps, speed + 0.04)));
            now += kPeriod_ns;
        }
    }
    double speed() const { return published.back()[0]; }
    bool stopped_by(const char* word) const {
        const bool named = watchdog.reason().find(word) != std::string::npos;
        if (!named) std::printf("reason: %s, expected: %s\n", watchdog.reason().c_str(), word);
        return !watchdog.passing() && published.back() == Twist{} && named;
    }
};

Bench driving() {
    Bench bench;
    bench.drive(0.5);
    CHECK(bench.watchdog.passing() && bench.speed() == 0.5);
    return bench;
}

void only_zeros_come_while_nothing_arrives() {
    Bench bench;
    bench.idle(1'000'000'000);
    CHECK(bench.published.size() >= 50 && bench.published.size() <= 54);
    for (const Twist& twist : bench.published) CHECK(twist == Twist{});
    CHECK(bench.stopped_by("no command yet"));
}

void good_commands_pass_at_once_and_unchanged() {
    Bench bench = driving();
    const std::size_t count = bench.published.size();
    const Command command = sealed(++bench.sequence, {0.52, 0.01, 0, 0, 0, -0.05});
    bench.hear(command);
    CHECK(bench.published.size() == count + 1 && bench.published.back() == command.twist);
    CHECK(bench.watchdog.passing() && bench.watchdog.reason().empty());
}

void the_verdict_may_come_first_or_later() {
    Bench bench = driving();
    const Command first = ahead(++bench.sequence, 0.51), second = ahead(++bench.sequence, 0.52);
    bench.wake(), bench.watchdog.receive(agreeing(first)), bench.step();
    bench.watchdog.receive(first), bench.step();
    CHECK(bench.speed() == 0.51);
    bench.now += kPeriod_ns;
    bench.wake(), bench.watchdog.receive(second), bench.step();
    CHECK(bench.speed() == 0.51);
    bench.watchdog.receive(agreeing(second)), bench.step();
    CHECK(bench.speed() == 0.52);
}

void silence_stops_after_three_periods_and_zeros_keep_coming() {
    Bench bench = driving();
    const Nanoseconds last_ns = bench.published_ns.back();
    const std::size_t count = bench.published.size();
    bench.idle(last_ns + 3 * kPeriod_ns + 2'000'000 - bench.now);
    CHECK(bench.published.size() == count + 1 && bench.stopped_by("no command for"));
    CHECK(bench.published_ns[count] - last_ns > 3 * kPeriod_ns);
    bench.idle(1'000'000'000);
    CHECK(bench.published_ns[count] - last_ns <= 3 * kPeriod_ns + 1'000'000);
    CHECK(bench.stopped_by("no command for"));
    CHECK(bench.published.size() - count >= 50);
    for (std::size_t i = count; i < bench.published.size(); ++i) CHECK(bench.published[i] == Twist{});
}

void commands_without_verdicts_stop() {
    Bench bench = driving();
    for (int i = 0; i < 6; ++i) {
        bench.wake(), bench.watchdog.receive(ahead(++bench.sequence, 0.5)), bench.step();
        bench.now += kPeriod_ns;
    }
    CHECK(bench.stopped_by("without their verdict"));
}

void a_stop_needs_no_verdict() {
    Bench bench = driving();
    bench.wake(), bench.watchdog.receive(ahead(++bench.sequence, 0.0)), bench.step();
    CHECK(bench.speed() == 0.0 && bench.watchdog.passing());
}

// Each spoils one good command or its verdict; the robot stops in the same step and the reason says why.
void spoiled_commands_stop_at_once() {
    const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
    struct Case {
        const char* reason;
        std::function<void(Command&, Verdict&)> spoil;
    };
    const auto with = [](std::size_t axis, double value) {
        return [axis, value](Command& c, Verdict& v) {
            c.twist[axis] = value, c.crc = command_crc(c), v = agreeing(c);
        };
    };
    const auto in_state = [](int state) { return [state](Command&, Verdict& v) { v.state = static_cast<State>(state); }; };
    std::vector<Case> cases{
        {"CRC", [](Command& c, Verdict&) { c.crc ^= 1; }},
        {"CRC", [](Command& c, Verdict&) { c.twist[0] += 1e-12; }},
        {"CRC", [](Command& c, Verdict&) { c.nanosec ^= 1; }},
        {"CRC", [](Command& c, Verdict&) { c.sequence ^= 1ULL << 40; }},
        {"order", [](Command& c, Verdict& v) { --c.sequence, c.crc = command_crc(c), v = agreeing(c); }},
        {"order", [](Command& c, Verdict& v) { c = ahead(1, 0.5), v = agreeing(c); }},
        {"another command", [](Command&, Verdict& v) { v.command.crc ^= 1; }},
        {"another command", [](Command&, Verdict& v) { v.command.twist[0] = 0.4; }},
        {"another command", [](Command&, Verdict& v) { v.command.twist[5] = std::nan(""); }},
        {"another command", [](Command&, Verdict& v) { v.command.sec += 1; }},
        {"another command", [](Command&, Verdict& v) { v.command.nanosec += 1; }},
        {"own limits", [](Command&, Verdict& v) { v.limits.forward_mps = 0.4; }},
        {"own limits", [nan](Command&, Verdict& v) { v.limits.forward_mps = nan; }},
    };
    for (std::size_t axis = 0; axis < 6; ++axis)
        for (const double value : {nan, infinity, -infinity}) cases.push_back({"finite", with(axis, value)});
    for (const auto& [axis, value] : std::vector<std::pair<std::size_t, double>>{
             {0, 0.81}, {0, -0.31}, {0, 1e300}, {1, 0.21}, {1, -0.21}, {2, 0.01}, {2, -0.51}, {3, 0.01}, {4, -0.01}, {5, 1.51}, {5, -1.51}})
        cases.push_back({"velocity limits", with(axis, value)});
    for (const auto& [axis, value] : std::vector<std::pair<std::size_t, double>>{{0, 0.55}, {0, -0.05}, {1, 0.05}, {5, 0.09}, {5, -0.09}})
        cases.push_back({"acceleration limits", with(axis, value)});
    for (const int state : {0, 3, 4, 5, 6, 7, 8, 9, 255}) cases.push_back({"state", in_state(state)});
    cases.push_back({"state", with(2, -0.3)});
    cases.back().spoil = [](Command& c, Verdict& v) { c = sealed(c.sequence, {0, 0, -0.3, 0, 0, 0}), v = agreeing(c); };
    for (const Case& one : cases) {
        Bench bench = driving();
        Command command = ahead(++bench.sequence, 0.5);
        Verdict verdict = agreeing(command);
        one.spoil(command, verdict);
        bench.hear(command, verdict);
        CHECK(bench.stopped_by(one.reason));
        CHECK(bench.published_ns.back() == bench.now);
    }
}

void a_repeated_command_stops() {
    Bench bench = driving();
    bench.hear(ahead(bench.sequence, 0.5));
    CHECK(bench.stopped_by("repeated"));
}

void a_repeated_command_never_passes_without_a_silence() {
    Bench bench = driving();
    for (int i = 0; i < 20; ++i, bench.now += kPeriod_ns) {
        bench.hear(ahead(7, 0.02));
        CHECK(bench.stopped_by("out of order"));
    }
    bench.idle(100'000'000);
    bench.hear(ahead(7, 0.02));
    CHECK(bench.watchdog.passing());
}

void three_commands_in_order_end_an_older_order() {
    Bench bench = driving();
    bench.hear(ahead(1'000'000, 0.5));
    for (int good = 1; good <= 10; ++good) {
        bench.now += kPeriod_ns;
        bench.hear(ahead(++bench.sequence, 0.5));
        if (good < 3) CHECK(bench.stopped_by("out of order"));
        if (good >= 3) CHECK(bench.watchdog.passing() && bench.speed() <= 0.04 * (good - 2) + 1e-4);
    }
}

// Anything for a while, then good commands in time: the third passes at the latest.
void a_lost_or_bad_message_costs_no_more_than_three_good_ones() {
    std::mt19937_64 random(2);
    for (int round = 0; round < 2000; ++round) {
        Bench bench = driving();
        for (std::uint64_t i = random() % 30; i > 0; --i) {
            Command command = ahead(random() % 2 ? ++bench.sequence : random(), random() % 2 ? 0.5 : 5.0);
            if (random() % 4 == 0) command.crc ^= 1;
            bench.wake();
            if (random() % 3) bench.watchdog.receive(agreeing(ahead(random() % 2 ? command.sequence : random(), 0.5)));
            if (random() % 3) bench.watchdog.receive(command);
            bench.step();
            bench.now += static_cast<Nanoseconds>(random() % 25'000'000);
        }
        bench.now += kPeriod_ns;
        for (int good = 0; good < 3; ++good, bench.now += kPeriod_ns) bench.hear(ahead(++bench.sequence, 0.02));
        CHECK(bench.watchdog.passing());
    }
}

void it_goes_on_within_the_acceleration_limits() {
    Bench bench = driving();
    Command bad = ahead(++bench.sequence, 0.5);
    bad.crc ^= 1;
    bench.hear(bad);
    CHECK(bench.stopped_by("CRC"));
    for (int i = 1; i <= 20; ++i) {
        const double before = bench.speed();
        bench.now += kPeriod_ns;
        bench.hear(sealed(++bench.sequence, {0.5, 0, 0, 0, 0, 0.15}));
        CHECK(bench.speed() <= before + 2.0 * 0.02 + 1e-4);
        CHECK(std::abs(bench.published.back()[5] - 0.3 * bench.speed()) < 1e-9);  // the same arc
        CHECK(bench.watchdog.passing());
    }
    CHECK(bench.speed() == 0.5);
}

void a_restarted_supervisor_counts_from_the_beginning() {
    Bench bench = driving();
    bench.idle(500'000'000);
    bench.sequence = 0;
    bench.drive(0.3);
    CHECK(bench.watchdog.passing() && bench.speed() == 0.3);
}

void two_supervisors_at_once_stop() {
    Bench bench = driving();
    double fastest = 0.0;
    for (std::uint64_t other = 1; other < 50; ++other) {
        bench.hear(ahead(++bench.sequence, 0.5));
        fastest = other > 1 ? std::max(fastest, bench.speed()) : fastest;
        bench.now += kPeriod_ns / 2;
        bench.hear(ahead(other, 0.5));
        bench.now += kPeriod_ns / 2;
    }
    CHECK(fastest < 0.05);
}

void a_second_supervisor_that_sends_more_often_stops_the_robot_too() {
    Bench bench = driving();
    double fastest = 0.0;
    for (std::uint64_t other = 1; other < 200; ++other) {
        if (other % 4 == 0) bench.hear(ahead(++bench.sequence, 0.5));
        bench.hear(ahead(other, 0.5));
        fastest = other > 8 ? std::max(fastest, bench.speed()) : fastest;
        bench.now += kPeriod_ns / 4;
    }
    CHECK(fastest < 0.1);
}

void a_flood_stops_and_does_not_flood_the_drive_base() {
    Bench bench = driving();
    const std::size_t count = bench.published.size();
    for (int i = 0; i < 1000; ++i) {
        bench.hear(ahead(++bench.sequence, 0.5));
        bench.now += 1'000'000;
    }
    CHECK(bench.published.size() - count <= 500);
    CHECK(bench.speed() < 0.2);
    for (std::size_t i = count + 1; i < bench.published_ns.size(); ++i)
        CHECK(bench.published_ns[i] - bench.published_ns[i - 1] <= kPeriod_ns);
}

void a_watchdog_that_was_held_up_does_not_follow_what_waited() {
    Bench bench = driving();
    bench.now += 500'000'000;
    bench.hear(ahead(++bench.sequence, 0.5));
    CHECK(bench.stopped_by("held up"));
    bench.now += 5'000'000;
    bench.hear(ahead(++bench.sequence, 0.5));
    CHECK(bench.stopped_by("held up"));
    bench.idle(100'000'000);
    bench.sequence += 100;
    bench.drive(0.2);
    CHECK(bench.speed() == 0.2);
}

void a_landing_drone_sinks_and_does_nothing_else() {
    Bench bench;
    bench.hear(sealed(1, {0, 0, -0.5, 0, 0, 0}), agreeing(sealed(1, {0, 0, -0.5, 0, 0, 0}), State::landing));
    CHECK(bench.published.back()[2] == -0.5);
    const Command both = sealed(2, {0.01, 0, -0.5, 0, 0, 0});
    bench.hear(both, agreeing(both, State::landing));
    CHECK(bench.stopped_by("state"));
}

void unreadable_messages_stop() {
    Bench bench = driving();
    bench.wake(), bench.watchdog.stop("a message was not readable"), bench.step();
    CHECK(bench.stopped_by("readable"));
}

// Drive at a speed, then let the base hear nothing for some periods; the supervisor goes on as before.
Bench silenced(double speed_mps, int ticks) {
    Bench bench;
    bench.drive(speed_mps);
    for (; ticks > 0; --ticks, bench.now += kPeriod_ns) {
        const Command command = ahead(++bench.sequence, speed_mps);
        Verdict verdict = agreeing(command);
        verdict.silent = true;
        bench.hear(command, verdict);
    }
    return bench;
}

void the_base_hears_nothing_while_its_timeout_is_measured() {
    Bench bench = silenced(0.08, 100);
    CHECK(bench.watchdog.passing() && bench.watchdog.reason().find("timeout is measured") != std::string::npos);
    CHECK(bench.speed() == 0.08 && bench.now - bench.published_ns.back() >= 100 * kPeriod_ns);
    bench.hear(ahead(++bench.sequence, 0.0));
    CHECK(bench.published.back() == Twist{} && bench.published_ns.back() == bench.now);
    bench.now += kPeriod_ns;
    bench.hear(ahead(++bench.sequence, 0.04));
    CHECK(bench.watchdog.passing() && bench.watchdog.reason().empty() && bench.speed() == 0.04);
}

void a_stop_ends_the_silence_at_once() {
    Bench bench = silenced(0.08, 10);
    const Nanoseconds last_ns = bench.now;
    bench.idle(200'000'000);
    CHECK(bench.stopped_by("no command for"));
    CHECK(std::abs(bench.published_ns.back() - bench.now) <= kPeriod_ns && bench.published.back() == Twist{});
    CHECK(bench.published_ns[40] - last_ns <= 2 * kPeriod_ns + 1'000'000);
    Bench other = silenced(0.08, 10);
    other.wake(), other.watchdog.stop("a message was not readable"), other.step();
    CHECK(other.published.back() == Twist{} && other.published_ns.back() == other.now);
}

void no_silence_is_longer_than_five_seconds_in_a_minute() {
    Bench bench = silenced(0.08, 260);
    CHECK(bench.stopped_by("so long"));
    const auto silence_ns = bench.published_ns[40] - bench.published_ns[39];
    CHECK(silence_ns >= 5'000'000'000 && silence_ns <= 5'000'000'000 + 2 * kPeriod_ns);
    CHECK(bench.published[40] == Twist{} && bench.now - bench.published_ns.back() <= 2 * kPeriod_ns);
    // Interrupted silences count as one.
    Bench other;
    other.drive(0.08);
    for (int i = 0; i < 40 * 50; ++i, other.now += kPeriod_ns) {
        const Command command = ahead(++other.sequence, 0.08);
        Verdict verdict = agreeing(command);
        verdict.silent = i % 50 != 0;
        const std::size_t count = other.published.size();
        other.hear(command, verdict);
        CHECK(i < 260 || other.published.size() > count || other.now - other.published_ns.back() <= kPeriod_ns);
    }
}

void no_fast_robot_is_left_without_commands() {
    for (const double speed_mps : {0.2, 0.5, -0.2}) {
        Bench bench;
        for (int i = 1; i <= 20; ++i, bench.now += kPeriod_ns) bench.hear(ahead(++bench.sequence, speed_mps * i / 20));
        for (const double told_mps : {speed_mps, std::copysign(0.08, speed_mps)}) {
            Bench copy = bench;
            const Command command = ahead(++copy.sequence, told_mps);
            Verdict verdict = agreeing(command);
            verdict.silent = true;
            copy.hear(command, verdict);
            CHECK(copy.stopped_by("so fast"));
        }
    }
    Bench bench = driving();
    const Command zero = ahead(++bench.sequence, 0.0);
    Verdict verdict = agreeing(zero);
    verdict.silent = true;
    bench.hear(zero, verdict);
    CHECK(bench.published.back() == Twist{} && bench.published_ns.back() == bench.now);
    const Command sinking = sealed(++bench.sequence, {0, 0, -0.4, 0, 0, 0});
    verdict = agreeing(sinking, State::landing), verdict.silent = true, bench.now += kPeriod_ns;
    bench.hear(sinking, verdict);
    CHECK(bench.stopped_by("without commands"));
}

// Whatever comes: finite, within the limits, never silent for longer than three periods.
void anything_at_all_stays_within_the_limits() {
    std::mt19937_64 random(1);
    const auto any = [&random] {
        double value;
        const std::uint64_t bits = random();
        std::memcpy(&value, &bits, sizeof(value));
        return random() % 2 ? value : std::uniform_real_distribution<double>(-1.0, 1.0)(random);
    };
    for (int round = 0; round < 200; ++round) {
        Bench bench = driving();
        for (int i = 0; i < 100; ++i) {
            Command command = ahead(random() % 3 ? ++bench.sequence : random(), 0.5);
            for (int axis = 0; axis < 6; ++axis)
                if (random() % 3 == 0) command.twist[static_cast<std::size_t>(axis)] = any();
            if (random() % 4) command.crc = command_crc(command);
            Verdict verdict = agreeing(command, static_cast<State>(random() % 10));
            if (random() % 3 == 0) verdict.limits.yaw_rate_radps = any();
            if (random() % 5) bench.hear(command, verdict);
            bench.idle(static_cast<Nanoseconds>(random() % 100'000'000));
        }
        for (std::size_t i = 0; i < bench.published.size(); ++i) {
            const Twist& t = bench.published[i];
            CHECK(t[0] <= 0.8001 && t[0] >= -0.3001 && std::abs(t[1]) <= 0.2001 && std::abs(t[5]) <= 1.5001);
            CHECK(t[2] <= 0.0 && t[2] >= -0.5001 && t[3] == 0.0 && t[4] == 0.0);
            CHECK(i == 0 || bench.published_ns[i] - bench.published_ns[i - 1] <= 3 * kPeriod_ns + 200'000);
        }
    }
}

int print_checksums() {
    Command command;
    while (std::fread(&command.sequence, 8, 1, stdin) == 1 && std::fread(&command.sec, 4, 1, stdin) == 1 &&
           std::fread(&command.nanosec, 4, 1, stdin) == 1 &&
           std::fread(command.twist.data(), sizeof(command.twist), 1, stdin) == 1)
        std::printf("%u\n", command_crc(command));
    return 0;
}

}  // namespace

int main(int count, char** words) {
    if (count > 1 && std::strcmp(words[1], "crc") == 0) return print_checksums();
    the_base_hears_nothing_while_its_timeout_is_measured();
    a_stop_ends_the_silence_at_once();
    no_silence_is_longer_than_five_seconds_in_a_minute();
    no_fast_robot_is_left_without_commands();
    only_zeros_come_while_nothing_arrives();
    good_commands_pass_at_once_and_unchanged();
    the_verdict_may_come_first_or_later();
    silence_stops_after_three_periods_and_zeros_keep_coming();
    commands_without_verdicts_stop();
    a_stop_needs_no_verdict();
    spoiled_commands_stop_at_once();
    a_repeated_command_stops();
    a_repeated_command_never_passes_without_a_silence();
    three_commands_in_order_end_an_older_order();
    a_lost_or_bad_message_costs_no_more_than_three_good_ones();
    it_goes_on_within_the_acceleration_limits();
    a_restarted_supervisor_counts_from_the_beginning();
    two_supervisors_at_once_stop();
    a_second_supervisor_that_sends_more_often_stops_the_robot_too();
    a_flood_stops_and_does_not_flood_the_drive_base();
    a_watchdog_that_was_held_up_does_not_follow_what_waited();
    a_landing_drone_sinks_and_does_nothing_else();
    unreadable_messages_stop();
    anything_at_all_stays_within_the_limits();
    return failures == 0 ? 0 : 1;
}

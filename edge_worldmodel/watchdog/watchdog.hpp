// Decides which of the supervisor's commands reach the drive base. No middleware, no clock and no output in here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace edge_worldmodel::watchdog {

using Nanoseconds = std::int64_t;     // of the steady clock
using Twist = std::array<double, 6>;  // linear x y z [m/s], angular x y z [rad/s], base frame (REP-103)

struct Command {  // as in SupervisorCommand.msg
    std::uint64_t sequence = 0;
    std::int32_t sec = 0;
    std::uint32_t nanosec = 0;
    Twist twist{};
    std::uint32_t crc = 0;
};

struct Speeds {
    double forward_mps = 0.0, reverse_mps = 0.0, lateral_mps = 0.0, yaw_rate_radps = 0.0;
};

enum class State : std::uint8_t { active = 1, limiting = 2, landing = 6 };  // those of Verdict.msg that are not zero

struct Verdict {  // the part of Verdict.msg that a command is held against
    Command command;
    State state{};
    Speeds limits;
    bool silent = false;  // the base is to hear nothing, because its own command timeout is being measured
};

struct Limits {
    Speeds speeds;
    double sink_mps = 0.0;  // of a drone that lands; 0: the robot does not fly
    double acceleration_mps2 = 0.0, yaw_acceleration_radps2 = 0.0;
    Nanoseconds period_ns = 0;  // of the supervisor
};

// CRC-32 as zlib computes it, over the bytes that SupervisorCommand.msg describes.
std::uint32_t command_crc(const Command& command);

// Call wake() whenever the process goes on after waiting, then receive() with what came, then step().
class Watchdog {
public:
    explicit Watchdog(const Limits& limits);
    void wake(Nanoseconds now);
    void receive(const Command& command);
    void receive(const Verdict& verdict);
    void stop(const std::string& reason);  // for what only the caller can know, such as a message that was not readable
    std::optional<Twist> step();           // what to publish now, if anything: a new command that may pass, or a zero
    Nanoseconds due() const;               // when step() has to be called again at the latest
    bool passing() const { return passing_; }
    const std::string& reason() const { return reason_; }  // why it publishes zero or nothing; empty while passing

private:
    void accept_if_agreed();
    void watch_silence();
    std::string problem(const Command& command) const;
    std::string disagreement(const Verdict& verdict) const;
    double reachable_share(const Twist& from, const Twist& to, Nanoseconds time_ns) const;

    Limits limits_;
    Nanoseconds patience_ns_;
    Nanoseconds now_ = 0, heard_ns_ = 0, accepted_ns_ = 0, published_ns_ = 0, deaf_until_ns_ = 0, counted_ns_ = 0;
    std::optional<Nanoseconds> silent_ns_;  // when the base was first made to hear nothing
    int count_ = 0, in_order_ = 0;  // commands since counted_ns_, and in a row that counted upwards
    std::uint64_t newest_ = 0;  // sequence of the newest command, in order or not
    std::optional<std::uint64_t> sequence_;  // of the newest command in order; empty: after a silence, any may follow
    std::optional<Command> waiting_;         // good, but its verdict has not come yet
    std::optional<Command> accepted_;        // the last one that passed; empty: too long ago to be compared with
    std::optional<Verdict> verdict_;
    Twist published_{};
    bool passing_ = false, new_ = false, urgent_ = true, resuming_ = true, silent_ = false;
    std::string reason_ = "no command yet";
};

}  // namespace edge_worldmodel::watchdog

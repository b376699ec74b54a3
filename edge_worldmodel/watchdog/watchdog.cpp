#include "watchdog.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edge_worldmodel::watchdog {
namespace {

// Zeros come at 50 Hz, late wake-ups included. The base may hear nothing for 5 s, once in a minute, while it is slow.
constexpr Nanoseconds kZeroing_ns = 19'000'000, kLongestSilence_ns = 5'000'000'000, kSilentAgain_ns = 60'000'000'000;
constexpr Speeds kSlow{0.1, 0.1, 0.1, 0.1};
// kNewOrder commands in a row that count upwards are a new order, wherever it begins. The supervisor makes two a period
// at most; more come at once after a short hold-up.
constexpr int kPatiencePeriods = 3, kNewOrder = 3, kMostPerPeriod = 8;
constexpr double kRounding = 1e-5;  // the verdict's limits travel as float32
constexpr std::size_t kX = 0, kY = 1, kZ = 2, kRoll = 3, kPitch = 4, kYaw = 5;

// False for NaN, too.
bool keeps(const Twist& twist, const Speeds& limits) {
    return twist[kX] <= limits.forward_mps + kRounding && twist[kX] >= -limits.reverse_mps - kRounding &&
           std::abs(twist[kY]) <= limits.lateral_mps + kRounding &&
           std::abs(twist[kYaw]) <= limits.yaw_rate_radps + kRounding;
}

}  // namespace

std::uint32_t command_crc(const Command& command) {
    const std::uint64_t stamp = static_cast<std::uint32_t>(command.sec) | std::uint64_t{command.nanosec} << 32;
    std::array<std::uint64_t, 8> words{command.sequence, stamp};
    std::memcpy(&words[2], command.twist.data(), sizeof(command.twist));
    std::uint32_t crc = 0xffffffff;
    for (const std::uint64_t word : words) {
        for (int shift = 0; shift < 64; shift += 8) {
            crc ^= static_cast<std::uint8_t>(word >> shift);
            for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

Watchdog::Watchdog(const Limits& limits) : limits_(limits), patience_ns_(kPatiencePeriods * limits.period_ns) {}

void Watchdog::wake(Nanoseconds now) {
    if (now_ != 0 && now - now_ > patience_ns_) {
        stop("the watchdog itself was held up"), deaf_until_ns_ = now + patience_ns_;  // what waited meanwhile is old
    }
    now_ = now;
}

void Watchdog::receive(const Command& command) {
    if (now_ < deaf_until_ns_) return;
    heard_ns_ = now_;
    if (now_ - counted_ns_ >= limits_.period_ns) counted_ns_ = now_, count_ = 0;
    if (++count_ > kMostPerPeriod) return stop("commands come too often");
    if (command_crc(command) != command.crc) return stop("the command's CRC is wrong");
    in_order_ = command.sequence > newest_ ? in_order_ + 1 : 1, newest_ = command.sequence;
    // One command with a high sequence, such as a second supervisor's that is gone, must not outlaw all that follow.
    if (sequence_ && command.sequence <= *sequence_ && in_order_ < kNewOrder)
        return stop("a command was repeated or came out of order");
    sequence_ = command.sequence;
    if (const std::string found = problem(command); !found.empty()) return stop(found);
    waiting_ = command;
    accept_if_agreed();
}

void Watchdog::receive(const Verdict& verdict) {
    if (now_ < deaf_until_ns_) return;
    verdict_ = verdict, accept_if_agreed();
}

std::optional<Twist> Watchdog::step() {
    watch_silence();
    if (!passing_) {
        if (!urgent_ && now_ - published_ns_ < kZeroing_ns) return std::nullopt;
        urgent_ = false, published_ = {};
    } else if (new_ && silent_) {
        new_ = false, resuming_ = true, published_ = {};
        return std::nullopt;
    } else if (new_) {
        Twist twist = accepted_->twist;
        const double share = resuming_ ? reachable_share(published_, twist, now_ - published_ns_) : 1.0;
        // All axes alike, so that the robot stays on the arc that the supervisor has checked.
        for (const std::size_t axis : {kX, kY, kYaw}) twist[axis] *= share;
        resuming_ = share < 1.0, new_ = false, published_ = twist;
    } else {
        return std::nullopt;
    }
    published_ns_ = now_;
    return published_;
}

Nanoseconds Watchdog::due() const {
    // At least once a period, so that a longer time between two wake-ups is a hold-up.
    return std::min(now_ + limits_.period_ns, passing_ ? accepted_ns_ + patience_ns_ + 1 : published_ns_ + kZeroing_ns);
}

void Watchdog::stop(const std::string& reason) {
    urgent_ = urgent_ || passing_;
    passing_ = new_ = false, resuming_ = true;
    waiting_.reset(), reason_ = reason;
}

void Watchdog::accept_if_agreed() {
    if (!waiting_) return;
    if (waiting_->twist != Twist{}) {  // a stop needs nobody's agreement
        if (!verdict_ || verdict_->command.sequence != waiting_->sequence) return;
        if (const std::string found = disagreement(*verdict_); !found.empty()) return stop(found);
    }
    silent_ = waiting_->twist != Twist{} && verdict_->silent;
    if (silent_ && (!silent_ns_ || now_ - *silent_ns_ > kSilentAgain_ns)) silent_ns_ = now_;
    accepted_ = waiting_, accepted_ns_ = now_, passing_ = new_ = true;
    waiting_.reset(), reason_ = silent_ ? "silent: the base's own timeout is measured" : "";
}

void Watchdog::watch_silence() {
    if (now_ - accepted_ns_ <= patience_ns_) return;
    accepted_.reset();
    if (now_ < deaf_until_ns_ || heard_ns_ == 0) return;
    const bool silent = now_ - heard_ns_ > patience_ns_;
    if (silent) sequence_.reset();  // a supervisor that restarts counts from the beginning
    if (silent || passing_) stop(silent ? "no command for more than 3 periods" : "commands come without their verdict");
}

std::string Watchdog::problem(const Command& command) const {
    const Twist& twist = command.twist;
    if (!std::all_of(twist.begin(), twist.end(), [](double value) { return std::isfinite(value); }))
        return "the command is not finite";
    const bool turns_flat = twist[kRoll] == 0.0 && twist[kPitch] == 0.0;
    const bool sinks_slowly = twist[kZ] <= 0.0 && twist[kZ] >= -limits_.sink_mps - kRounding;
    if (!keeps(twist, limits_.speeds) || !turns_flat || !sinks_slowly) return "the command is over the velocity limits";
    if (!accepted_) return "";
    // Ticks that were lost may be made up for, as long as they were not too many to be in time.
    const auto periods = std::min<std::uint64_t>(command.sequence - accepted_->sequence, kPatiencePeriods);
    const auto time_ns = static_cast<Nanoseconds>(periods) * limits_.period_ns;
    return reachable_share(accepted_->twist, twist, time_ns) < 1.0 ? "the command is over the acceleration limits" : "";
}

std::string Watchdog::disagreement(const Verdict& verdict) const {
    const Command &wanted = *waiting_, &seen = verdict.command;
    const bool same_stamp = seen.sec == wanted.sec && seen.nanosec == wanted.nanosec;
    if (seen.crc != wanted.crc || !same_stamp || seen.twist != wanted.twist)
        return "the verdict speaks of another command";
    const bool moves = wanted.twist[kX] != 0.0 || wanted.twist[kY] != 0.0 || wanted.twist[kYaw] != 0.0;
    const bool may_move = verdict.state == State::active || verdict.state == State::limiting;
    if (moves ? !may_move : verdict.state != State::landing) return "the verdict's state allows no such command";
    const Nanoseconds silence_ns = silent_ns_ ? now_ - *silent_ns_ : 0;
    const bool too_long = silence_ns > kLongestSilence_ns && silence_ns <= kSilentAgain_ns;
    if (verdict.silent && (too_long || !moves || !keeps(wanted.twist, kSlow) || !keeps(published_, kSlow)))
        return "the base may not be without commands so fast or so long";
    return keeps(wanted.twist, verdict.limits) ? "" : "the command is over the verdict's own limits";
}

// The largest share of `to`, at most 1, that no axis speeds up to faster than the limits allow. Slowing down is free.
double Watchdog::reachable_share(const Twist& from, const Twist& to, Nanoseconds time_ns) const {
    double share = 1.0;
    for (const std::size_t axis : {kX, kY, kYaw}) {
        const double acceleration = axis == kYaw ? limits_.yaw_acceleration_radps2 : limits_.acceleration_mps2;
        const double kept = std::max(std::copysign(1.0, to[axis]) * from[axis], 0.0);
        const double reachable = kept + acceleration * static_cast<double>(time_ns) * 1e-9 + kRounding;
        if (std::abs(to[axis]) > reachable) share = std::min(share, reachable / std::abs(to[axis]));
    }
    return share;
}

}  // namespace edge_worldmodel::watchdog

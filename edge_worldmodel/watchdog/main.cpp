// The watchdog's process: takes what the supervisor sends, asks the Watchdog and publishes what it says.
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <sstream>
#include <stdexcept>

#include "edge_worldmodel/msg/supervisor_command.h"
#include "edge_worldmodel/msg/verdict.h"
#include "geometry_msgs/msg/twist.h"
#include "geometry_msgs/msg/twist_stamped.h"
#include "rmw/error_handling.h"
#include "rmw/rmw.h"
#include "std_msgs/msg/string.h"
#include "watchdog.hpp"

using namespace edge_worldmodel::watchdog;
using Arguments = std::map<std::string, std::string>;

namespace {

constexpr Nanoseconds kSecond_ns = 1'000'000'000;
volatile std::sig_atomic_t ending = 0;

Nanoseconds clock_ns(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return time.tv_sec * kSecond_ns + time.tv_nsec;
}

void say(const std::string& line) {
    const std::string text = "watchdog: " + line.substr(0, 500) + "\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
}

void expect(bool good, const std::string& what) {
    const std::string why = rmw_error_is_set() ? std::string(": ") + rmw_get_error_string().str : "";
    if (!good) throw std::runtime_error(what + why);
}

template <typename Thing>
Thing* made(Thing* thing, const std::string& what) {
    expect(thing != nullptr, what + " is not there");
    return thing;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// Read "--name value" pairs; all names of nodes and topics come fully expanded. What launch adds for ROS is not for us.
Arguments parse(int count, char** words) {
    Arguments arguments;
    for (int i = 1; i < count && std::string(words[i]) != "--ros-args"; i += 2) {
        const std::string name = words[i];
        expect(name.rfind("--", 0) == 0 && i + 1 < count, "--name value expected at " + name);
        arguments[name.substr(2)] = words[i + 1];
    }
    return arguments;
}

const std::string& text(const Arguments& arguments, const std::string& name) {
    expect(arguments.count(name) == 1, "argument --" + name + " is missing");
    return arguments.at(name);
}

double number(const Arguments& arguments, const std::string& name, double lowest, double highest) {
    const std::string& written = text(arguments, name);
    char* end = nullptr;
    const double value = std::strtod(written.c_str(), &end);
    expect(!written.empty() && *end == 0 && value >= lowest && value <= highest,
           "--" + name + " " + written + ": give " + std::to_string(lowest) + " to " + std::to_string(highest));
    return value;
}

Limits limits_from(const Arguments& a) {
    const Speeds speeds{number(a, "max-forward-mps", 0, 20), number(a, "max-reverse-mps", 0, 20),
                        number(a, "max-lateral-mps", 0, 20), number(a, "max-yaw-rate-radps", 0, 10)};
    return {speeds, number(a, "max-sink-mps", 0, 3), number(a, "max-acceleration-mps2", 0.1, 20),
            number(a, "max-yaw-acceleration-radps2", 0.1, 50), std::llround(number(a, "period-s", 0.005, 0.02) * 1e9)};
}

// The middleware is found at run time, so that RMW_IMPLEMENTATION chooses it and the build needs no more than headers.
template <typename Function>
Function load(const char* name) {
    static void* const library =
        made(dlopen("librmw_implementation.so", RTLD_NOW | RTLD_GLOBAL), "librmw_implementation.so of a sourced ROS 2");
    return reinterpret_cast<Function>(made(dlsym(library, name), name));
}
#define RMW(function) [] { static const auto f = load<decltype(&rmw_##function)>("rmw_" #function); return f; }()

void set_discovery(rmw_discovery_options_t& options, rcutils_allocator_t& allocator) {
    const std::map<std::string, rmw_automatic_discovery_range_t> ranges{
        {"", RMW_AUTOMATIC_DISCOVERY_RANGE_SUBNET},       {"SUBNET", RMW_AUTOMATIC_DISCOVERY_RANGE_SUBNET},
        {"OFF", RMW_AUTOMATIC_DISCOVERY_RANGE_OFF},       {"LOCALHOST", RMW_AUTOMATIC_DISCOVERY_RANGE_LOCALHOST},
        {"SYSTEM_DEFAULT", RMW_AUTOMATIC_DISCOVERY_RANGE_SYSTEM_DEFAULT}};
    const std::string peers = environment("ROS_STATIC_PEERS");
    const auto separators = static_cast<std::size_t>(std::count(peers.begin(), peers.end(), ';'));
    expect(rmw_discovery_options_init(&options, peers.empty() ? 0 : separators + 1, &allocator) == RMW_RET_OK, "peers");
    std::istringstream list(peers);
    std::string peer;
    for (std::size_t i = 0; std::getline(list, peer, ';'); ++i)
        peer.copy(options.static_peers[i].peer_address, RMW_DISCOVERY_OPTIONS_STATIC_PEERS_MAX_LENGTH - 1);
    const std::string wanted = environment("ROS_AUTOMATIC_DISCOVERY_RANGE");
    const auto range = ranges.find(environment("ROS_LOCALHOST_ONLY") == "1" ? "LOCALHOST" : wanted);
    options.automatic_discovery_range = range == ranges.end() ? RMW_AUTOMATIC_DISCOVERY_RANGE_LOCALHOST : range->second;
}

void set_security(rmw_security_options_t& options, const std::string& enclave, rcutils_allocator_t& allocator) {
    if (environment("ROS_SECURITY_ENABLE") != "true") return;
    const bool enforced = environment("ROS_SECURITY_STRATEGY") == "Enforce";
    const std::string folder = environment("ROS_SECURITY_KEYSTORE") + "/enclaves" + (enclave == "/" ? "" : enclave);
    options.enforce_security = enforced ? RMW_SECURITY_ENFORCEMENT_ENFORCE : RMW_SECURITY_ENFORCEMENT_PERMISSIVE;
    const bool found = std::filesystem::is_directory(folder);
    expect(found || !enforced, "the security folder " + folder + " does not exist");
    if (found) expect(rmw_security_options_set_root_path(folder.c_str(), &allocator, &options) == RMW_RET_OK, folder);
}

// The node with its topics.
class Graph {
public:
    explicit Graph(const Arguments& arguments)
        : stamped_(text(arguments, "kind") == "twist_stamped"), frame_(text(arguments, "frame")) {
        expect(stamped_ || text(arguments, "kind") == "twist", "--kind: give twist or twist_stamped");
        rcutils_allocator_t allocator = rcutils_get_default_allocator();
        rmw_init_options_t options = rmw_get_zero_initialized_init_options();
        expect(RMW(init_options_init)(&options, allocator) == RMW_RET_OK, "init options");
        const std::string other = environment("ROS_SECURITY_ENCLAVE_OVERRIDE");
        std::string enclave = other.empty() ? text(arguments, "enclave") : other;
        options.instance_id = 1;
        options.enclave = enclave.data();
        options.domain_id = std::strtoul(environment("ROS_DOMAIN_ID").c_str(), nullptr, 10);
        set_discovery(options.discovery_options, allocator);
        set_security(options.security_options, enclave, allocator);
        expect(RMW(init)(&options, &context_) == RMW_RET_OK, "the middleware does not start");
        node_ = made(RMW(create_node)(&context_, "watchdog", text(arguments, "namespace").c_str()), "the node");
        const auto* const command_type = ROSIDL_GET_MSG_TYPE_SUPPORT(edge_worldmodel, msg, SupervisorCommand);
        commands_ = subscribe(command_type, text(arguments, "command"));
        verdicts_ = subscribe(ROSIDL_GET_MSG_TYPE_SUPPORT(edge_worldmodel, msg, Verdict), text(arguments, "verdict"));
        drive_ = advertise(stamped_ ? ROSIDL_GET_MSG_TYPE_SUPPORT(geometry_msgs, msg, TwistStamped)
                                    : ROSIDL_GET_MSG_TYPE_SUPPORT(geometry_msgs, msg, Twist), text(arguments, "drive"));
        state_ = advertise(ROSIDL_GET_MSG_TYPE_SUPPORT(std_msgs, msg, String), text(arguments, "state"));
        wait_set_ = made(RMW(create_wait_set)(&context_, 2), "the wait set");
        const bool made_command = edge_worldmodel__msg__SupervisorCommand__init(&command_);
        expect(made_command && edge_worldmodel__msg__Verdict__init(&verdict_), "no memory");
    }

    // Leave in order, so that others need not wait until our lease ends.
    void leave() {
        expect(RMW(destroy_node)(node_) == RMW_RET_OK && RMW(shutdown)(&context_) == RMW_RET_OK, "shutdown");
    }

    void wait(Nanoseconds longest) {
        void* data[] = {commands_->data, verdicts_->data};
        rmw_subscriptions_t subscriptions{2, data};
        const rmw_time_t timeout{0, static_cast<std::uint64_t>(std::max<Nanoseconds>(longest, 0))};
        const rmw_ret_t result = RMW(wait)(&subscriptions, nullptr, nullptr, nullptr, nullptr, wait_set_, &timeout);
        expect(result == RMW_RET_OK || result == RMW_RET_TIMEOUT, "rmw_wait");
    }

    // Hand over the newest command and verdict.
    void take(Watchdog& watchdog) {
        if (taken(commands_, &command_, watchdog)) {
            const auto& [sec, nanosec] = command_.stamp;
            stamp_ns_ = sec * kSecond_ns + nanosec, stamped_ns_ = clock_ns(CLOCK_MONOTONIC);
            watchdog.receive(Command{command_.sequence, sec, nanosec, values(command_.twist), command_.crc});
        }
        if (taken(verdicts_, &verdict_, watchdog)) {
            const auto& [sec, nanosec] = verdict_.header.stamp;
            const Speeds limits{verdict_.max_forward_mps, verdict_.max_reverse_mps, verdict_.max_lateral_mps,
                                verdict_.max_yaw_rate_radps};
            const Command command{verdict_.sequence, sec, nanosec, values(verdict_.command), verdict_.command_crc};
            watchdog.receive(Verdict{command, static_cast<State>(verdict_.state), limits, verdict_.silent});
        }
    }

    // Zeros need a stamp of now: the supervisor's last (its time may be simulated) carried on, or the system's.
    void drive(const Twist& twist) {
        const bool known = stamped_ns_ != 0;
        const auto now_ns = known ? stamp_ns_ + clock_ns(CLOCK_MONOTONIC) - stamped_ns_ : clock_ns(CLOCK_REALTIME);
        geometry_msgs__msg__TwistStamped message{};
        message.header.stamp.sec = static_cast<std::int32_t>(now_ns / kSecond_ns);
        message.header.stamp.nanosec = static_cast<std::uint32_t>(now_ns % kSecond_ns);
        message.header.frame_id = {frame_.data(), frame_.size(), frame_.size() + 1};
        message.twist = {{twist[0], twist[1], twist[2]}, {twist[3], twist[4], twist[5]}};
        publish(drive_, stamped_ ? static_cast<void*>(&message) : &message.twist);
    }

    void tell(std::string words) {
        std_msgs__msg__String message{{words.data(), words.size(), words.size() + 1}};
        publish(state_, &message);
    }

private:
    rmw_subscription_t* subscribe(const rosidl_message_type_support_t* type, const std::string& topic) {
        const auto options = rmw_get_default_subscription_options();
        return made(RMW(create_subscription)(node_, type, topic.c_str(), &latest_, &options), topic);
    }

    rmw_publisher_t* advertise(const rosidl_message_type_support_t* type, const std::string& topic) {
        const auto options = rmw_get_default_publisher_options();
        return made(RMW(create_publisher)(node_, type, topic.c_str(), &latest_, &options), topic);
    }

    static bool taken(const rmw_subscription_t* subscription, void* message, Watchdog& watchdog) {
        bool came = false;
        if (RMW(take)(subscription, message, &came, nullptr) == RMW_RET_OK) return came;
        rmw_reset_error(), watchdog.stop("a message was not readable");
        return false;
    }

    static void publish(const rmw_publisher_t* publisher, void* message) {
        expect(RMW(publish)(publisher, message, nullptr) == RMW_RET_OK, publisher->topic_name);
    }

    static Twist values(const geometry_msgs__msg__Twist& twist) {
        return {twist.linear.x, twist.linear.y, twist.linear.z, twist.angular.x, twist.angular.y, twist.angular.z};
    }

    const rmw_qos_profile_t latest_ = [] { auto qos = rmw_qos_profile_default; qos.depth = 1; return qos; }();
    rmw_context_t context_ = rmw_get_zero_initialized_context();
    rmw_node_t* node_ = nullptr;
    rmw_subscription_t *commands_ = nullptr, *verdicts_ = nullptr;
    rmw_publisher_t *drive_ = nullptr, *state_ = nullptr;
    rmw_wait_set_t* wait_set_ = nullptr;
    edge_worldmodel__msg__SupervisorCommand command_{};
    edge_worldmodel__msg__Verdict verdict_{};
    Nanoseconds stamp_ns_ = 0, stamped_ns_ = 0;  // the supervisor's last stamp and when it came; 0: never
    bool stamped_;
    std::string frame_;
};

// Before the middleware starts: its threads inherit this.
void go_first(int priority) {
    const sched_param wanted{priority};
    if (priority > 0 && sched_setscheduler(0, SCHED_FIFO, &wanted) != 0)
        say("SCHED_FIFO refused: allow 'rtprio' in /etc/security/limits.conf");
}

// Memory to come is locked only where there is no limit: with one, allocations beyond it would fail.
void lock_memory() {
    rlimit limit{};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    const int flags = MCL_CURRENT | MCL_ONFAULT | (limit.rlim_cur == RLIM_INFINITY ? MCL_FUTURE : 0);
    if (mlockall(flags) != 0) say("memory may be swapped out: allow 'memlock' in /etc/security/limits.conf");
}

void run(const Arguments& arguments) {
    Watchdog watchdog(limits_from(arguments));
    go_first(static_cast<int>(number(arguments, "priority", 0, 99)));
    Graph graph(arguments);
    lock_memory();
    std::string told;
    for (Nanoseconds now = clock_ns(CLOCK_MONOTONIC), told_ns = 0; ending == 0;) {
        graph.wait(watchdog.due() - now);
        watchdog.wake(now = clock_ns(CLOCK_MONOTONIC));
        graph.take(watchdog);
        if (const auto twist = watchdog.step()) graph.drive(*twist);
        const std::string& reason = watchdog.reason();
        const std::string state = !watchdog.passing() ? "zero: " + reason : reason.empty() ? "passing" : reason;
        // Reasons that change quickly are told ten times a second, whether it passes at once.
        const bool turned = watchdog.passing() == (told.rfind("zero", 0) == 0), changed = state != told;
        if (!turned && now - told_ns < (changed ? kSecond_ns / 10 : kSecond_ns)) continue;
        graph.tell(state);
        if (changed) say(state);
        told = state, told_ns = now;
    }
    graph.drive({});
    usleep(50'000);  // time for the middleware to deliver it
    graph.leave();
}

}  // namespace

int main(int count, char** words) {
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { ending = 1; });
    std::signal(SIGPIPE, SIG_IGN);
    // A reader of our output that hangs must not hang us, nor the middleware's threads, which report rubbish: what
    // does not fit is dropped. Opened anew, because the flag would else hold for all who share it; sockets cannot be.
    const int output = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK);
    if (output < 0 || dup2(output, STDERR_FILENO) < 0) fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    try {
        run(parse(count, words));
    } catch (const std::exception& error) {
        say(error.what());
        return 1;
    }
    return 0;
}

# Where ROS 2 and Python come from. Sourced by the scripts beside it; does nothing by itself.
# Two environments: "installed" (a ROS 2 Jazzy or Kilted of this machine) and "wheels" (Jazzy from PyPI in .venv).

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$repository/.venv
build_venv=$repository/.venv-build
train_venv=$repository/.venv-train
mutation_venv=$repository/.venv-mutation
prefix=$repository/install/edge_worldmodel

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Print the setup file of an installed ROS 2 that we support; fail when there is none.
# EDGE_WORLDMODEL_ROS=wheels leaves an installed ROS 2 aside.
installed_ros() {
    [ "${EDGE_WORLDMODEL_ROS:-}" != wheels ] || return 1
    case "${ROS_DISTRO:-}" in
    jazzy | kilted)
        # Sourced already. Ours comes from a wheel, not from a setup file.
        [ -z "${EDGE_WORLDMODEL_WHEELS:-}" ] || return 1
        local ros2
        ros2=$(command -v ros2) || return 1
        printf '%s\n' "${ros2%/bin/ros2}/setup.bash"
        return 0
        ;;
    esac
    local distribution
    for distribution in jazzy kilted; do
        [ ! -f "/opt/ros/$distribution/setup.bash" ] || { printf '/opt/ros/%s/setup.bash\n' "$distribution"; return 0; }
    done
    return 1
}

require_setup() {
    [ -x "$venv/bin/python" ] || fail "The environment is missing. Run: make setup"
}

# ROS setup files read unset variables and commands that may fail.
source_file() {
    set +eu
    . "$1"
    set -eu
}

enter_ros() {
    local setup_file
    if setup_file=$(installed_ros); then
        [ ! -f "$setup_file" ] || source_file "$setup_file"
        [ ! -f "$repository/install/local_setup.bash" ] || source_file "$repository/install/local_setup.bash"
        PYTHONPATH=$(python_site "$venv")${PYTHONPATH:+:$PYTHONPATH}
        export PYTHONPATH
    else
        enter_wheels
    fi
    export PATH=$venv/bin:$PATH VIRTUAL_ENV=$venv
    export RMW_IMPLEMENTATION=${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp}
    keep_to_this_machine
    export PYTHONSAFEPATH=1 # the folder edge_worldmodel/ of a working directory would hide the generated messages
}

# As edge_worldmodel/nodes/discovery.py, for what is started by hand.
keep_to_this_machine() {
    [ -z "${ROS_AUTOMATIC_DISCOVERY_RANGE:-}${FASTRTPS_DEFAULT_PROFILES_FILE:-}${FASTDDS_DEFAULT_PROFILES_FILE:-}" ] || return 0
    case "$RMW_IMPLEMENTATION" in
    rmw_fastrtps*)
        export ROS_AUTOMATIC_DISCOVERY_RANGE=SYSTEM_DEFAULT
        export FASTRTPS_DEFAULT_PROFILES_FILE=$repository/config/fastdds_localhost.xml
        export FASTDDS_DEFAULT_PROFILES_FILE=$FASTRTPS_DEFAULT_PROFILES_FILE
        ;;
    *) export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ;;
    esac
}

python_site() {
    printf '%s\n' "$1"/lib/python3.*/site-packages
}

# Set rather than extended: a shell that sourced another ROS distribution must not leak into this one.
enter_wheels() {
    local ros
    ros=$(python_site "$venv")/isaacsim/exts/isaacsim.ros2.core/jazzy
    export EDGE_WORLDMODEL_WHEELS=$venv
    export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=jazzy
    export AMENT_PREFIX_PATH=$prefix:$ros
    export PYTHONPATH=$prefix/lib/python3.12/site-packages:$ros/rclpy
    export LD_LIBRARY_PATH=$prefix/lib:$ros/lib
    export PATH=$prefix/bin:$PATH
    unset CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_LOCALHOST_ONLY
}

# Print the first Python of the version given that runs, has its headers and can make environments.
# Each candidate is run: a pyenv shim is on PATH even where its version is not selected.
find_python() {
    local version=$1 candidate
    local check="import ensurepip, os, sys, sysconfig, venv
headers = os.path.join(sysconfig.get_path('include'), 'Python.h')
sys.exit('.'.join(map(str, sys.version_info[:2])) != '$version' or ('$version' == '3.12' and not os.path.exists(headers)))"
    while read -r candidate; do
        ! "$candidate" -c "$check" >/dev/null 2>&1 || { printf '%s\n' "$candidate"; return 0; }
    done < <(
        type -ap "python$version" python3 || true
        ls -d "${PYENV_ROOT:-${HOME:-/root}/.pyenv}/versions/$version."*/bin/python3 2>/dev/null || true
        uv python find "$version" 2>/dev/null || true
    )
    return 1
}

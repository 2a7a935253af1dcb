# Where the scripts of this folder find and keep things, and how a process of the cluster starts and ends. Sourced, never run.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${FLOE_E2E_CACHE:-$HOME/.cache/floe-e2e}
bin=${FLOE_E2E_BIN:-$cache/bin}
kubernetes_version=v1.34.4
# Where Debian keeps the programs of administrators.
PATH=$PATH:/usr/sbin:/sbin

# Standard output is for the one value that a script hands back; everything else goes here.
say() { echo "$*" >&2; }

fail() {
    say "$(basename "$0"): $*"
    exit 1
}

# A file that others read appears in one step, with its whole content.
write_file() {
    cat >"$1.part"
    mv "$1.part" "$1"
}

# When the process began, in ticks since boot: with the id it names a process for good, an id alone is given again.
process_birth() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The second field is a name in brackets that may hold spaces.
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z ]] && echo "${stat[19]}"
}

# start NAME COMMAND…: in the background, with log and id in the state directory. A process that runs already is left alone.
start() {
    local name=$1
    shift
    is_running "$name" && return
    # Nothing of the caller is kept open: not its locks, not its pipes.
    setsid "$@" >>"$state/log/$name.log" 2>&1 </dev/null 8>&- 9>&- &
    local pid=$!
    echo "$pid $(process_birth "$pid")" | write_file "$state/run/$name.pid"
}

is_running() {
    local pid birth
    [[ -f $state/run/$1.pid ]] || return 1
    read -r pid birth <"$state/run/$1.pid"
    [[ -n $birth && $(process_birth "$pid") == "$birth" ]]
}

# stop NAME [SECONDS]: asks, waits for the end, and after that time kills.
stop() {
    local name=$1 tenths=$((${2:-20} * 10)) pid _
    if is_running "$name"; then
        read -r pid _ <"$state/run/$name.pid"
        kill "$pid" 2>/dev/null || true
        while is_running "$name" && ((tenths-- > 0)); do sleep 0.1; done
        if is_running "$name"; then
            kill -9 "$pid" 2>/dev/null || true
            while is_running "$name"; do sleep 0.1; done
        fi
    fi
    rm -f "$state/run/$name.pid"
}

# wait_for SECONDS NAME WHAT COMMAND…: until the command succeeds. NAME is the process that must live for it.
wait_for() {
    local tenths=$(($1 * 10)) name=$2 what=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! is_running "$name"; then
            tail -n 20 "$state/log/$name.log" >&2
            fail "$name has ended before $what; the end of $state/log/$name.log is above"
        fi
        if ((tenths-- <= 0)); then
            tail -n 20 "$state/log/$name.log" >&2
            fail "no $what in time; the end of $state/log/$name.log is above"
        fi
        sleep 0.1
    done
}

is_listening() { [[ -n $(ss -Hltn "sport = :$1") ]]; }

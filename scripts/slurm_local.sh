#!/usr/bin/env bash
# A real SLURM on this machine, to try hydra/launcher=submitit_slurm without a cluster: several virtual nodes, no
# systemd, no cgroups, no database. For root on Debian or Ubuntu, in a container or a virtual machine.
#
#   scripts/slurm_local.sh up [--nodes 2] [--cpus 4] [--gpus 0] [--dir FOLDER] [--port 26817]
#   scripts/slurm_local.sh down [--dir FOLDER]
#
# `up` installs slurmctld, slurmd, slurm-client and munge if they are missing, starts them, and ends with a line to be
# evaluated: eval "$(scripts/slurm_local.sh up | tail -1)". A second `up` finds everything running. `down` cancels the
# jobs and ends exactly the processes that `up` has started. Partitions: debug, and low, whose jobs give way to debug's.
set -euo pipefail

fail() { echo "slurm_local: $*" >&2; exit 1; }

action=${1:-}
[ $# -gt 0 ] && shift
nodes=2 cpus=4 gpus=0 port=26817 dir=${TMPDIR:-/tmp}/metarun-slurm
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || fail "$1 needs a value"
  case $1 in
    --nodes) nodes=$2 ;; --cpus) cpus=$2 ;; --gpus) gpus=$2 ;; --port) port=$2 ;; --dir) dir=$2 ;;
    *) fail "$1: there is no such option; --nodes, --cpus, --gpus, --port, --dir" ;;
  esac
  shift 2
done
conf=$dir/slurm.conf

# A pid file counts only while the process is the daemon that wrote it.
runs() { [ -s "$1" ] && grep -qa "$2" "/proc/$(cat "$1" 2>/dev/null)/cmdline" 2>/dev/null; }

install() {
  for tool in slurmctld slurmd sbatch munged; do
    command -v "$tool" >/dev/null && continue
    command -v apt-get >/dev/null || fail "$tool is missing: install slurmctld, slurmd, the SLURM client and munge"
    echo "slurm_local: installing slurmctld, slurmd, slurm-client, munge" >&2
    export DEBIAN_FRONTEND=noninteractive
    set -- install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
    apt-get "$@" >/dev/null 2>&1 || { apt-get update -qq >/dev/null && apt-get "$@" >/dev/null; }
    return
  done
}

configure() {
  local host names=n1 ports=$((port + 11)) gres="" i
  host=$(hostname -s)
  [ "$nodes" -gt 1 ] && names="n[1-$nodes]" && ports="[$((port + 11))-$((port + 10 + nodes))]"
  mkdir -p "$dir"/{state,spool,log,run,munge}
  chmod 0755 "$dir"; chmod 0700 "$dir/munge"
  [ -s "$dir/munge/key" ] || (umask 077; head -c 1024 /dev/urandom >"$dir/munge/key")
  { echo "127.0.0.1 localhost $host"; for i in $(seq "$nodes"); do echo "127.0.0.1 n$i"; done; } >"$dir/hosts"
  printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$dir/cgroup.conf"  # slurmd asks for one even if unused
  : >"$dir/gres.conf"
  if [ "$gpus" -gt 0 ]; then  # devices that can be asked for, and compute nothing
    for i in $(seq 0 $((gpus - 1))); do
      [ -e "$dir/gpu$i" ] || mknod "$dir/gpu$i" c 1 3
      echo "NodeName=$names Name=gpu File=$dir/gpu$i" >>"$dir/gres.conf"
    done
    gres=" Gres=gpu:$gpus"
  fi
  # cred_expire: a requeued job may start again after that many seconds, two minutes by default.
  # SlurmdTimeout: so long until a lost node is seen as lost and its jobs are requeued.
  cat >"$conf.new" <<CONF
ClusterName=metarun
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
SlurmctldTimeout=60
SlurmdTimeout=10
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PropagateResourceLimits=NONE
${gres:+GresTypes=gpu}
NodeName=$names NodeHostname=$host NodeAddr=127.0.0.1 Port=$ports CPUs=$cpus RealMemory=64000 State=UNKNOWN$gres
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
CONF
  if [ -e "$conf" ] && ! cmp -s "$conf" "$conf.new"; then down; fi
  mv "$conf.new" "$conf"
}

start() {
  local i=0 own
  runs "$dir/run/munged.pid" munged || munged --force --socket="$dir/munge/socket" --key-file="$dir/munge/key" \
    --pid-file="$dir/run/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/munge/seed" --num-threads=2
  runs "$dir/run/slurmctld.pid" slurmctld || slurmctld -f "$conf"
  # Each node has a host name of its own, n1, n2, ..., which all of them can resolve, where the system lets us.
  own=yes
  unshare --uts --mount true 2>/dev/null || own=
  [ -n "$own" ] || echo "slurm_local: no host names of their own here, a run over two nodes needs MASTER_ADDR=127.0.0.1" >&2
  for i in $(seq "$nodes"); do
    mkdir -p "$dir/spool/n$i"
    runs "$dir/run/slurmd.n$i.pid" slurmd && continue
    if [ -n "$own" ]; then
      unshare --uts --mount sh -c 'mount --bind "$1/hosts" /etc/hosts && hostname "n$2" && exec slurmd -f "$1/slurm.conf" -N "n$2"' \
        sh "$dir" "$i"
    else
      slurmd -f "$conf" -N "n$i"
    fi
  done
}

wait_for_nodes() {
  local end=$((SECONDS + 60)) up
  while :; do
    up=$(timeout 10 sinfo -h -N -p debug -o '%N %T' 2>/dev/null | grep -Ec ' (idle|allocated|mixed|completing)$' || true)
    [ "$up" -ge "$nodes" ] && return
    if [ "$SECONDS" -ge "$end" ]; then
      tail -n 5 "$dir"/log/*.log >&2 || true
      fail "only $up of $nodes nodes came up within 60 s; logs: $dir/log"
    fi
    sleep 0.2
  done
}

up() {
  [ "$(id -u)" = 0 ] || fail "needs root, for SLURM's daemons"
  [ "$(uname)" = Linux ] || fail "needs Linux"
  install
  configure
  export SLURM_CONF=$conf
  start
  wait_for_nodes
  sinfo
  echo "export SLURM_CONF=$conf"
}

finish() {  # PIDFILE NAME: ask the daemon to leave, kill it after 15 s
  local pid i
  if runs "$1" "$2"; then
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || true
    for i in $(seq 75); do runs "$1" "$2" || break; sleep 0.2; done
    if runs "$1" "$2"; then kill -9 "$pid" || true; fi
  fi
  rm -f "$1"
}

down() {
  local file i
  [ -e "$conf" ] || { echo "slurm_local: nothing runs in $dir" >&2; return; }
  export SLURM_CONF=$conf
  if runs "$dir/run/slurmctld.pid" slurmctld; then
    timeout 10 squeue -h -o %A 2>/dev/null | sort -u | xargs -r timeout 10 scancel 2>/dev/null || true
    for i in $(seq 50); do [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break; sleep 0.2; done
  fi
  for file in "$dir"/run/slurmd.*.pid; do [ -e "$file" ] && finish "$file" slurmd; done
  finish "$dir/run/slurmctld.pid" slurmctld
  finish "$dir/run/munged.pid" munged
  rm -f "$conf"  # a client now fails at once instead of calling nobody
}

case $action in
  up) up ;;
  down) down ;;
  *) fail "say up or down: scripts/slurm_local.sh up" ;;
esac

#!/usr/bin/env bash
# A real Slurm of one node on this machine, from Debian's packages, to try job scripts on. Run it as root.
#
#   scripts/slurm/dev-cluster.sh up        install what is missing, configure, start; about a minute from nothing
#   scripts/slurm/dev-cluster.sh status    what runs; exit code 0 when jobs can be submitted
#   scripts/slurm/dev-cluster.sh down      end what `up` started, and nothing else; packages stay
#
# Partitions: `main` (the default) and `urgent`, whose jobs pre-empt those of main. ACCOUNTING=yes adds MariaDB and
# slurmdbd, so that `sacct` works. GRACE=30 is how many seconds a pre-empted job has to save. It refuses to touch a
# Slurm that is configured already.
set -euo pipefail

accounting=${ACCOUNTING:-no}
grace=${GRACE:-30}
conf=/etc/slurm/slurm.conf
home=/run/hpo-run-slurm # daemons' pid files, spool and logs: gone after `down` or a reboot
mark="# made by hpo-run's scripts/slurm/dev-cluster.sh; its \`down\` removes it"

die() { echo "dev-cluster: $*" >&2; exit 1; }
is_ours() { head -n 1 "$1" 2>/dev/null | grep -qxF "$mark"; }
alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

wait_for() { # wait_for SECONDS COMMAND...
  local tries=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "timed out: $* (logs are in $home/log)"
    sleep 0.2
  done
}

install_packages() {
  local wanted=(slurmctld slurmd slurm-client munge) missing=() package
  [ "$accounting" = no ] || wanted+=(slurmdbd slurm-wlm-mysql-plugin mariadb-server)
  for package in "${wanted[@]}"; do
    dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  echo "installing ${missing[*]}"
  local get=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install "${missing[@]}")
  "${get[@]}" >"$home/log/apt.log" 2>&1 && return 0
  apt-get -q update >>"$home/log/apt.log" 2>&1 || true
  "${get[@]}" >>"$home/log/apt.log" 2>&1 || die "the packages could not be installed: see $home/log/apt.log"
}

start_munge() {
  [ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=128 count=1 status=none
  chown munge:munge /etc/munge/munge.key
  chmod 400 /etc/munge/munge.key
  install -d -o munge -g munge -m 755 /run/munge
  if ! munge -n 2>/dev/null | unmunge >/dev/null 2>&1; then
    runuser -u munge -- /usr/sbin/munged --force
    wait_for 10 test -s /run/munge/munged.pid
    cp /run/munge/munged.pid "$home/munged.pid"
  fi
  wait_for 10 bash -c 'munge -n | unmunge'
}

configuration() {
  local node cores memory
  node=$(hostname -s)
  cores=$(nproc)
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  local storage=none host=
  [ "$accounting" = no ] || { storage=slurmdbd host="AccountingStorageHost=localhost"; }
  cat <<END
$mark
ClusterName=hpo-run-dev
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a job that was requeued waits this long before it starts again
AuthInfo=cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmdSpoolDir=$home/spool
StateSaveLocation=$home/state
SlurmctldLogFile=$home/log/slurmctld.log
SlurmdLogFile=$home/log/slurmd.log
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=10
JobRequeue=1
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=512
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/$storage
$host
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cores Boards=1 SocketsPerBoard=1 CoresPerSocket=$cores ThreadsPerCore=1 RealMemory=$memory
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=$grace
PartitionName=urgent Nodes=$node MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
END
}

start_accounting() {
  if ! mariadb-admin ping >/dev/null 2>&1; then
    install -d -o mysql -g mysql -m 755 /run/mysqld
    [ -d /var/lib/mysql/mysql ] || mariadb-install-db --user=mysql >/dev/null
    setsid mariadbd --user=mysql --bind-address=127.0.0.1 --innodb-buffer-pool-size=128M \
      --innodb-lock-wait-timeout=900 >"$home/log/mariadb.log" 2>&1 </dev/null &
    echo $! >"$home/mariadbd.pid"
    wait_for 60 mariadb-admin ping
  fi
  mariadb -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db; CREATE USER IF NOT EXISTS 'slurm'@'localhost'
    IDENTIFIED BY 'slurm'; GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';"
  [ ! -e /etc/slurm/slurmdbd.conf ] || is_ours /etc/slurm/slurmdbd.conf || die "/etc/slurm/slurmdbd.conf is not ours"
  (umask 077 && cat >/etc/slurm/slurmdbd.conf) <<END
$mark
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
LogFile=$home/log/slurmdbd.log
PidFile=$home/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END
  alive "$home/slurmdbd.pid" || slurmdbd
  wait_for 60 sacctmgr -n list cluster
  sacctmgr -n list cluster hpo-run-dev format=Cluster | grep -q . || sacctmgr -i add cluster hpo-run-dev >/dev/null
}

stop_daemon() { # stop_daemon NAME: politely, then not
  local file=$home/$1.pid pid tries=75
  alive "$file" || { rm -f "$file"; return 0; }
  pid=$(cat "$file")
  [ "$(tr -d '\0' <"/proc/$pid/comm")" = "$1" ] || { rm -f "$file"; return 0; } # the number went to another program
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { kill -9 "$pid" 2>/dev/null || true; break; }
    sleep 0.2
  done
  rm -f "$file"
}

end_jobs() { # so that no job outlives the daemon that looks after it
  timeout 10 squeue -h -o %A | xargs -r timeout 10 scancel >/dev/null 2>&1 || true
  for _ in {1..100}; do [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || return 0; sleep 0.2; done
}

is_up() { timeout 5 sinfo -h -p main -o %t 2>/dev/null | grep -qE '^(idle|mix|alloc|comp)'; }

up() {
  [ "$(id -u)" = 0 ] || die "run it as root"
  command -v apt-get >/dev/null || die "needs Debian's packages"
  [ ! -e "$conf" ] || is_ours "$conf" || die "$conf was made by someone else; this is for machines without a Slurm"
  install -d -m 755 "$home" "$home/log" "$home/spool" "$home/state" /etc/slurm
  install_packages
  start_munge
  configuration >"$conf.new"
  if cmp -s "$conf.new" "$conf"; then
    rm "$conf.new"
  else
    mv "$conf.new" "$conf"
    stop_daemon slurmd
    stop_daemon slurmctld
  fi
  [ "$accounting" = no ] || start_accounting
  alive "$home/slurmctld.pid" || slurmctld
  wait_for 30 scontrol ping
  alive "$home/slurmd.pid" || slurmd
  for _ in {1..50}; do is_up && break; sleep 0.2; done
  is_up || scontrol update NodeName="$(hostname -s)" State=RESUME || true # it was drained
  wait_for 20 is_up
  sinfo
}

down() {
  [ "$(id -u)" = 0 ] || die "run it as root"
  if [ -e "$conf" ] && ! is_ours "$conf"; then die "$conf was made by someone else: nothing was touched"; fi
  ! alive "$home/slurmctld.pid" || end_jobs
  stop_daemon slurmd
  stop_daemon slurmctld
  stop_daemon slurmdbd
  stop_daemon mariadbd
  stop_daemon munged
  rm -f "$conf"
  ! is_ours /etc/slurm/slurmdbd.conf || rm -f /etc/slurm/slurmdbd.conf
  rm -rf "$home"
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  status)
    is_up || die "no Slurm answers: scripts/slurm/dev-cluster.sh up"
    sinfo
    ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

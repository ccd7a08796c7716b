#!/bin/sh
# Start the Redis of a cluster:
#
#   start-redis.sh hub | start-redis.sh redis | start-redis.sh sentinel
#
# hub       the only one
# redis     one of those that keep a cluster's Redis together, on as many machines
# sentinel  beside each of these, to watch them
#
# CLUSTER_PASSWORD        for nodes and submitters, of Redis and of the sentinels
# CLUSTER_ADMIN_PASSWORD  between those machines only: what has it can configure their Redis
# CLUSTER_HOST            this machine's address, as nodes and submitters reach it
# CLUSTER_FIRST           CLUSTER_HOST of the machine whose Redis is the master at first; :PORT may follow
# REDIS_PORT, SENTINEL_PORT, CLUSTER_DATA, REDIS_CONF, REDIS_COMMANDS have defaults; a hub needs CLUSTER_PASSWORD alone
set -eu
umask 077
port=${REDIS_PORT:-6379}
sentinel_port=${SENTINEL_PORT:-26379}
first=${CLUSTER_FIRST:-}
first_port=6379
case $first in *:*) first_port=${first##*:} ;; esac
first=${first%:*}
commands=${REDIS_COMMANDS:-/etc/cluster/commands.acl}
cd "${CLUSTER_DATA:-/data}"

# Redis's settings, and what its users may do: the cluster's no more than it needs.
settings() {
    [ -r "$commands" ] || { echo "start-redis.sh: there is no $commands, the commands that the cluster may use" >&2; exit 1; }
    cat "${REDIS_CONF:-/etc/cluster/redis.conf}"
    echo "port $port"
    echo "user default on >$CLUSTER_PASSWORD ~* &* $(grep -v '^#' "$commands" | tr '\n' ' ')"
}

# Both of several machines write into their files who is the master now. So these are made once: what starts again must
# not go by who was the master at first.
case $1 in
hub)
    settings >hub.conf
    exec redis-server hub.conf
    ;;
redis)
    if [ ! -f redis.conf ]; then
        {
            settings
            echo "user replica on >$CLUSTER_ADMIN_PASSWORD -@all +psync +replconf +ping"
            echo "user sentinel on >$CLUSTER_ADMIN_PASSWORD &* -@all +multi +slaveof +ping +exec +subscribe" \
                "+config|rewrite +role +publish +info +client|setname +client|kill +script|kill"
            echo "masteruser replica"
            echo "masterauth $CLUSTER_ADMIN_PASSWORD"
            echo "replica-announce-ip $CLUSTER_HOST"
            echo "replica-announce-port $port"
            [ "$CLUSTER_HOST:$port" = "$first:$first_port" ] || echo "replicaof $first $first_port"
        } >redis.conf.new
        mv redis.conf.new redis.conf
    fi
    exec redis-server redis.conf
    ;;
sentinel)
    if [ ! -f sentinel.conf ]; then
        cat >sentinel.conf.new <<END
port $sentinel_port
user default on >$CLUSTER_PASSWORD -@all +ping +sentinel|masters
user sentinel on >$CLUSTER_ADMIN_PASSWORD &* -@all +ping +publish +client|setname +sentinel|is-master-down-by-addr
sentinel sentinel-user sentinel
sentinel sentinel-pass $CLUSTER_ADMIN_PASSWORD
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $CLUSTER_HOST
sentinel announce-port $sentinel_port
sentinel monitor mymaster $first $first_port 2
sentinel auth-user mymaster sentinel
sentinel auth-pass mymaster $CLUSTER_ADMIN_PASSWORD
sentinel down-after-milliseconds mymaster 3000
sentinel failover-timeout mymaster 20000
END
        mv sentinel.conf.new sentinel.conf
    fi
    exec redis-server sentinel.conf --sentinel
    ;;
*)
    echo "usage: start-redis.sh hub | redis | sentinel" >&2
    exit 2
    ;;
esac

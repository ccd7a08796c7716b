#!/bin/sh
# Start a Redis, or a Sentinel that watches it, on one of the machines that keep a cluster's Redis together:
#
#   start.sh redis | start.sh sentinel
#
# CLUSTER_PASSWORD  of Redis and of the sentinels
# CLUSTER_HOST      this machine's address, as nodes and submitters reach it
# CLUSTER_FIRST     CLUSTER_HOST of the machine whose Redis is the master at first; :PORT may follow
# REDIS_PORT, SENTINEL_PORT, CLUSTER_DATA, REDIS_CONF have defaults
set -eu
umask 077
port=${REDIS_PORT:-6379}
sentinel_port=${SENTINEL_PORT:-26379}
first=${CLUSTER_FIRST%:*}
first_port=6379
case $CLUSTER_FIRST in *:*) first_port=${CLUSTER_FIRST##*:} ;; esac
cd "${CLUSTER_DATA:-/data}"

# Both write into their files who is the master now. So these are made once: whoever starts again must not go by
# who was the master at first.
case $1 in
redis)
    if [ ! -f redis.conf ]; then
        {
            cat "${REDIS_CONF:-/etc/cluster/redis.conf}"
            echo "port $port"
            echo "requirepass $CLUSTER_PASSWORD"
            echo "masterauth $CLUSTER_PASSWORD"
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
requirepass $CLUSTER_PASSWORD
sentinel sentinel-pass $CLUSTER_PASSWORD
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $CLUSTER_HOST
sentinel announce-port $sentinel_port
sentinel monitor mymaster $first $first_port 2
sentinel auth-pass mymaster $CLUSTER_PASSWORD
sentinel down-after-milliseconds mymaster 3000
sentinel failover-timeout mymaster 20000
END
        mv sentinel.conf.new sentinel.conf
    fi
    exec redis-server sentinel.conf --sentinel
    ;;
*)
    echo "usage: start.sh redis | start.sh sentinel" >&2
    exit 2
    ;;
esac

-- Keep a message from the nodes for some time, by Redis's clock. Returns 1.
-- KEYS: cluster:delayed
-- ARGV: milliseconds, "queue\nmessage"
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms() + ARGV[1]), ARGV[2])
return 1

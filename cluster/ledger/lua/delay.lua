-- Keep a message from the nodes for some time, by Redis's clock. Returns 1.
-- KEYS: delayed
-- ARGV: delay_ms member
--   member: "queue\nmessage"
redis.call('ZADD', K.delayed, string.format('%.0f', now_ms() + A.delay_ms), A.member)
return 1

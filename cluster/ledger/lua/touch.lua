-- Keep a run from expiring. Returns 1.
-- KEYS: run done chunks expected claims attempts speculative batches partials failures where nodes times rejections events outbox queued pieces shards curve opened arrivals late stays places timeline
local retention_s = retention_of(K.run)
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, retention_s) end
return 1

-- Go on with a run that is paused. Returns 1 if it was, and goes on now.
-- KEYS: run events outbox queued claims
-- ARGV: node
if redis.call('HDEL', K.run, 'paused') == 0 or redis.call('HGET', K.run, 'state') ~= 'running' then return 0 end
note(K.events, retention_of(K.run), 'gone-on', 'node', A.node)
feed(K.run, K.outbox, K.queued, K.claims)
return 1

-- A round is closed: its batch goes with its parts, and what is not settled of it is late; the state that was made of its
-- parts is the run's, its row is added to the curve, and the chunks of the next round are entered; or the run is done. All at
-- once; asked again, it does nothing.
-- Returns the run's state, "fenced" (the lease is another's), "out of step" (it is not the next round, or not its batch) or
-- "more" (the state was made of other parts than there are by now).
-- It touches the parts of other batches, too, where these are left at the end.
-- KEYS: run done chunks batches parts claims attempts speculative queued pieces outbox stays shards curve opened arrivals late places failures events
-- ARGV: fence round batch state views row planned rejected over used missing first rest...
--   state, views, row: JSON; row may be "", for no line of the curve
--   planned: rounds in all, "" for as many as before
--   rejected: how many parts were not used
--   over: 1 if the run is done
--   used: how many of the rest are the chunks of whose parts the state was made, those that were given up among them
--   first: the number of the next round's first chunk, "" for whatever is next
--   missing: how many items the result lacks since this round; they follow, each with its reason; then of each chunk of
--   the next round its batch, its shard (behind it its place, if it has one) and its entry
local run = redis.call('HMGET', K.run, 'state', 'fence', 'round', 'batches_published', 'chunks_published')
if not run[1] then return 'unknown' end
if run[1] ~= 'running' then return run[1] end
if run[2] ~= A.fence then return 'fenced' end
if run[3] == A.round then return 'running' end
local first, count, trigger = batch_of(redis.call('HGET', K.batches, A.batch))
if not run[3] or run[3] + 1 ~= tonumber(A.round) or trigger ~= 'driver' then return 'out of step' end
local items = FIRST + A.used
local turns = items + 2 * A.missing
if ARGV[turns] and ARGV[turns] ~= run[4] then return 'out of step' end
if A.first ~= '' and A.first ~= run[5] then return 'out of step' end
if redis.call('HLEN', K.parts) ~= tonumber(A.used) then return 'more' end
for i = FIRST, items - 1 do -- as many, and others: Redis lost its last moments meanwhile
  if redis.call('HEXISTS', K.parts, ARGV[i]) == 0 then return 'more' end
end
redis.call('UNLINK', K.parts) -- first what needs no memory: then a full Redis takes what follows, too
redis.call('HDEL', K.batches, A.batch)
redis.call('UNLINK', K.places)
local late = {}
for chunk = first, first + count - 1 do
  if redis.call('GETBIT', K.done, chunk) == 0 then
    redis.call('SETBIT', K.done, chunk, 1)
    redis.call('SADD', K.late, chunk)
    forget_chunk(chunk, K.queued, K.pieces, K.chunks, K.claims, K.attempts, K.speculative)
    late[#late + 1] = chunk
  end
end
if #late > 0 then
  redis.call('HINCRBY', K.run, 'late', #late)
  redis.call('HINCRBY', K.run, 'chunks_settled', #late)
  redis.call('HINCRBY', K.run, 'batches_complete', 1)
end
redis.call('HINCRBY', K.run, 'batches_aggregated', 1)
redis.call('HINCRBY', K.run, 'items_settled', 1)
redis.call('HINCRBY', K.run, 'rejected', A.rejected)
for i = items, turns - 1, 2 do redis.call('HSET', K.failures, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', K.run, 'round', A.round, 'model_state', A.state, 'views', A.views)
if A.row ~= '' then
  redis.call('XADD', K.curve, 'MAXLEN', '~', MOST_ROWS, '*', 'round', A.round, 'row', A.row, 'late', table.concat(late, ' '))
end
if A.planned ~= '' then expect_rounds(K.run, A.planned, count) end
local retention_s, state = retention_of(K.run), 'running'
if ARGV[turns] then enter_turns(K.run, K.chunks, K.batches, K.opened, A.round + 1, ARGV, turns, K.places) end
if A.over == '1' then
  -- Where each batch has one chunk, others are under way.
  for _, other in ipairs(redis.call('HKEYS', K.batches)) do redis.call('UNLINK', K.run .. ':parts:' .. other) end
  redis.call('UNLINK', K.batches, K.chunks, K.claims, K.attempts, K.speculative, K.queued, K.pieces, K.outbox, K.stays)
  local all = redis.call('HMGET', K.run, 'items_settled', 'chunks_settled', 'batches_aggregated')
  redis.call('HSET', K.run, 'rounds_planned', A.round + 1, 'items_total', all[1], 'chunks_total', all[2], 'batches_total', all[3])
  redis.call('XADD', K.opened, '*', 'round', A.round + 1, 'batch', -1, 'first', 0, 'shards', '') -- who waits for it leaves
  state = 'done'
  finish(K.run, K.events, retention_s, state, '')
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, retention_s) end
return state

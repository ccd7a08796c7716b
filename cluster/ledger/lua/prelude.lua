-- What the scripts share; it stands before each of them.
local MOST_EVENTS = 2000
local RUN = OURS .. 'run:'
local WAITING = OURS .. 'waiting'
local DUE = OURS .. 'due'
-- A run may have this much work in the queue, for each slot of its share.
local AHEAD_US = 1e6
-- A run that nobody coordinates counts on these slots at least, while no other run waits.
local UNATTENDED_SLOTS = 32
local MOST_CHUNKS = 64
-- Lines of a run in rounds that tell of batches which are entered, and of chunks which are settled: enough to wait for.
local MOST_LINES = 1000
-- Lines of the curve, one for each round, and of the timeline, one for each message.
local MOST_ROWS = 10000
-- Names of expired runs that one new run removes from the list of runs, at most.
local MOST_FORGOTTEN = 100
-- The keys of a run whose row `create.lua` did not write are kept for this time, in seconds.
local LEAST_S = 3600
-- The fields of a run's policy, in the order of `RunPolicy`.
local POLICY = {
  'soft_time_limit_s', 'time_limit_s', 'max_attempts', 'retention_s', 'retry_delay_s', 'max_part_bytes', 'inline_bytes',
}
-- Beyond this number of waiting runs, a share is no smaller.
local MOST_WAITING = 1000
-- Longer than a share holds: see SHARE_S in lease.py.
local WAKE_MS = 6000

-- Redis's clock in milliseconds since 1970.
local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- Add a line to the history of a run: its event, then field, value, ...
local function note(events, retention_s, event, ...)
  redis.call('XADD', events, 'MAXLEN', '~', MOST_EVENTS, '*', 'event', event, ...)
  redis.call('EXPIRE', events, retention_s)
end

-- Members of a sorted set. Anybody may have written another kind of value under its name: that goes.
local function by_score(key, ...)
  local found = redis.pcall('ZRANGEBYSCORE', key, ...)
  if not found.err then return found end
  redis.call('UNLINK', key)
  return {}
end

-- How long the keys of a run are kept after it was last worked on, in seconds.
local function retention_of(run) return tonumber(redis.call('HGET', run, 'retention_s')) or LEAST_S end

local function id_of(run) return string.sub(run, #RUN + 1) end

-- The run is over, and waits for no slot.
local function finish(run, events, retention_s, state, why)
  redis.pcall('ZREM', WAITING, id_of(run))
  redis.pcall('ZREM', DUE, id_of(run))
  redis.call('HDEL', run, 'paused')
  redis.call('HSET', run, 'state', state, 'finished_at', string.format('%.3f', now_ms() / 1000))
  if why ~= '' then redis.call('HSET', run, 'error', why) end
  note(events, retention_s, state, 'why', why)
end

-- The row of a batch: its first chunk, how many it has, and its trigger, which starts joining the parts ("chord",
-- "ledger": the commit that completes it; "driver": no node joins them, as they are a round's).
local function batch_of(row)
  local first, count, trigger = string.match(row or '', '^(%d+) (%d+) (%l+)$')
  return tonumber(first or 0), tonumber(count or 0), trigger
end

-- How often attempts at a chunk or partial ended: it raised, its process was ended, its node was lost.
local function attempts_of(attempts, name)
  local failed, killed, lost = string.match(redis.call('HGET', attempts, name) or '0 0 0', '^(%d+) (%d+) (%d+)$')
  return tonumber(failed), tonumber(killed), tonumber(lost)
end

-- A chunk is settled: what is kept of it until then goes, also from the given hashes.
local function forget_chunk(chunk, queued, pieces, ...)
  for _, key in ipairs({...}) do redis.call('HDEL', key, chunk) end
  redis.call('SREM', queued, chunk) -- the message of a speculative copy may be lost
  local over = redis.call('HGET', pieces, chunk)
  if over then
    redis.call('HDEL', pieces, chunk)
    for item = 0, over - 1 do redis.call('HDEL', pieces, chunk .. ':' .. item) end
  end
end

-- Enter the next chunks of a run in rounds, which are turns of shards in this round: from given[at] on the batch, the shard
-- and the entry of each; behind the shard there may be the place where it is done, which goes into `places`. Batches and
-- chunks are counted on.
local function enter_turns(run, chunks, batches, opened, round, given, at, places)
  local chunk, batch, shards = redis.call('HGET', run, 'chunks_published') + 0, given[at], {}
  while at <= #given do
    redis.call('HSET', chunks, chunk, given[at + 2])
    local shard, place = string.match(given[at + 1], '^(%d+) ?(.*)$')
    if place ~= '' then redis.call('HSET', places, chunk, place) end
    shards[#shards + 1] = shard
    chunk, at = chunk + 1, at + 3
    if given[at] ~= batch then
      local first = chunk - #shards
      redis.call('HSET', batches, batch, first .. ' ' .. #shards .. ' driver')
      redis.call('XADD', opened, 'MAXLEN', '~', MOST_LINES, '*', 'round', round, 'batch', batch, 'first', first,
        'shards', table.concat(shards, ' '))
      redis.call('HSET', run, 'chunks_published', chunk, 'batches_published', batch + 1)
      batch, shards = given[at], {}
    end
  end
end

-- How many rounds a run is to have in all, of so many chunks each. Rounds that are closed count as items that are settled.
local function expect_rounds(run, rounds, count)
  local done = redis.call('HMGET', run, 'items_settled', 'round')
  redis.call('HSET', run, 'rounds_planned', rounds, 'items_total', rounds + (done[1] or 0) - (done[2] + 1),
    'chunks_total', rounds * count, 'batches_total', rounds)
end

-- A claim of this incarnation of a node goes, without an attempt.
local function release_claim(run, claims, queued, incarnation, unit, again)
  local claim = redis.call('HGET', claims, unit)
  if not claim or string.match(claim, '^%d+ (%S+) ') ~= incarnation then return end
  redis.call('HDEL', claims, unit)
  if again then
    redis.call('SADD', queued, unit)
    redis.call('EXPIRE', queued, retention_of(run))
  end
end

-- The first chunk that a message is about, and how many; nil for a message that cannot be read.
local function chunks_of(message)
  local read, first, last = pcall(function()
    return string.match(cjson.decode(message).headers.id, '^[%w-]+%.(%d+)%-?(%d*)$')
  end)
  if not read or not first then return nil end
  local count = last == '' and 1 or last - first + 1
  if count < 1 or count > MOST_CHUNKS then return nil end
  return tonumber(first), count
end

-- Move messages of a run from its outbox to the queue. Of each run, the queue and the nodes hold as many chunks as the
-- slots of its share work on in the time of one message and AHEAD_US. With a share of less than a slot a message of long
-- chunks is more than that: it goes alone, and the next one when the share has had the time for it. A run whose outbox
-- waits stands in DUE, so that the heartbeats of nodes go on with it if its coordinator is lost (`release_delayed.lua`). Of a run
-- that is paused nothing moves. Besides its arguments it touches WAITING, DUE and the queue of the run's requirement.
local function feed(run, outbox, queued, claims)
  local message = redis.call('LINDEX', outbox, -1)
  if not message then return end
  local row = redis.call('HMGET', run, 'requirement', 'chunk_us', 'share', 'share_until_ms', 'slots', 'due_ms',
    'retention_s', 'paused')
  if row[8] then return end
  local queue, chunk_us, share = QUEUE .. row[1], tonumber(row[2]), tonumber(row[3])
  local now, retention_s = now_ms(), tonumber(row[7]) or LEAST_S
  if not share or now > tonumber(row[4]) then
    local slots = tonumber(row[5]) or 0
    local others = #by_score(WAITING, string.format('(%.0f', now), '+inf', 'LIMIT', 0, MOST_WAITING)
    share = others > 0 and math.max(slots, 1) / (1 + others) or math.max(slots, UNATTENDED_SLOTS)
  end
  local on_way = redis.call('SCARD', queued) + redis.call('HLEN', claims)
  while message do
    local first, count = chunks_of(message)
    if not first then
      redis.call('RPOP', outbox)
    else
      local fits = on_way + count <= share -- as long as no chunk is done, one for each slot
      if chunk_us then fits = (on_way + count) * chunk_us <= share * (count * chunk_us + AHEAD_US) end
      local due = tonumber(row[6] or 0)
      if not fits and (on_way > 0 or now < due) then
        redis.pcall('ZADD', DUE, string.format('%.0f', on_way > 0 and now + WAKE_MS or due), id_of(run))
        redis.call('EXPIRE', DUE, retention_s)
        break
      end
      redis.call('RPOPLPUSH', outbox, queue)
      if not fits and chunk_us and share > 0 then
        redis.call('HSET', run, 'due_ms', string.format('%.0f', now + count * chunk_us / share / 1000))
      end
      for chunk = first, first + count - 1 do redis.call('SADD', queued, chunk) end
      on_way = on_way + count
    end
    message = redis.call('LINDEX', outbox, -1)
  end
  for _, key in ipairs({outbox, queued}) do redis.call('EXPIRE', key, retention_s) end
end

-- What the scripts share; it stands before each of them.
local MOST_EVENTS = 2000

-- Redis's clock in milliseconds since 1970.
local function now_ms()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- Add a line to the story of a run: its event, then field, value, ...
local function note(events, retention_s, event, ...)
  redis.call('XADD', events, 'MAXLEN', '~', MOST_EVENTS, '*', 'event', event, ...)
  redis.call('EXPIRE', events, retention_s)
end

-- The run is over.
local function finish(run, events, retention_s, state, why)
  redis.call('HSET', run, 'state', state, 'finished_at', string.format('%.3f', now_ms() / 1000))
  if why ~= '' then redis.call('HSET', run, 'error', why) end
  note(events, retention_s, state, 'why', why)
end

-- How often attempts at a chunk or fold ended: it raised, its process was ended, its node was lost.
local function attempts_of(attempts, name)
  local failed, killed, lost = string.match(redis.call('HGET', attempts, name) or '0 0 0', '^(%d+) (%d+) (%d+)$')
  return tonumber(failed), tonumber(killed), tonumber(lost)
end

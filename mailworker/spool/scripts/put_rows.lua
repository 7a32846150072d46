-- needs: clock stream outcomes record shelf sweep
-- ARGV: retention, name, row, number of this fill, when it began, 1 = the gate stays closed until its end, first letters of domains' places that are new (JSON: place -> sealed name), milliseconds of a wake-up's flag
-- (0: wake nobody), then of each mail: id, due, head, payload, domain if it has limits or "", 1 = suppressed.
-- Returns what is new, suppressed, repeated, known; 1 if a worker has to be woken; and now. -1 if it is no bulk, -2 if it is
-- cancelled, -3 if it has begun anew with another letter.

local name, row, fill, began, flag = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[8])
local bulk, gate = P .. 'bulk:' .. name, P .. 'group:' .. name
if redis.call('EXISTS', P .. 'letter:' .. name) == 0 then
  return { -1 }
end
local known_gate = redis.call('HMGET', gate, 'epoch', 'cancelled', 'filling')
if known_gate[2] then
  return { -2 }
end
if fill < tonumber(redis.call('HGET', bulk, 'first') or 0) then
  return { -3 }
end
-- What was called back and is put in again belongs to the time after that.
local epoch = known_gate[1] and ',"o":' .. known_gate[1] or ''
for place, sealed in pairs(ARGV[7] ~= '' and cjson.decode(ARGV[7]) or {}) do
  redis.call('HSETNX', P .. 'domains-of:' .. name, place, sealed)
end

local new, suppressed, repeated, known = 0, 0, 0, 0
local ids, streams, firsts, finished = {}, {}, {}, {}
local at = stamp(now)

-- Whether a mail that is known came in with this fill.
local function is_of_this_fill(id)
  local created
  -- The name of a bulk may stand before it, which is long in JSON, and an answer of the relay.
  for _, last in ipairs({ 511, 16383 }) do
    local start = redis.pcall('GETRANGE', P .. 'm:' .. id, 0, last)
    created = type(start) == 'string' and string.match(start, '"c":"([%d.]+)"')
    if created then
      break
    end
  end
  return created and tonumber(created) >= began
end

-- Takes a mail of an earlier fill back whose recipient wants none any more. Its row says so; what a worker has, it asks about itself.
local function drop_unsent(id)
  local mail = find(id)
  if mail and (state_of(mail) == DUE or state_of(mail) == HELD) then
    take_lapse(mail)
    mail.head.u = 'suppressed'
    finish(mail, 'dropped')
    save(mail)
  end
end

for i = 9, #ARGV, 6 do
  local id, due, head = ARGV[i], ARGV[i + 1], string.sub(ARGV[i + 2], 1, -2) .. epoch
  local is_suppressed = ARGV[i + 5] == '1'
  if is_suppressed then
    head = head .. ',"s":"dropped","u":"suppressed","f":"' .. at .. '"'
  end
  if redis.call('SET', P .. 'm:' .. id, head .. '}\n' .. ARGV[i + 3], 'NX') then
    new = new + 1
    ids[new] = id
    if is_suppressed then
      suppressed = suppressed + 1
      finished[suppressed] = table.concat({ at, id, row, 'dropped', name }, '\n')
    else
      local stream = ARGV[i + 4] .. '/' .. name
      local places = streams[stream]
      if not places then
        places = {}
        streams[stream], firsts[stream] = places, due
      end
      places[#places + 1] = due
      places[#places + 1] = id
    end
  elseif is_of_this_fill(id) then
    repeated = repeated + 1
  else
    known = known + 1
    if is_suppressed then
      drop_unsent(id)
    end
  end
end

if new > 0 and ARGV[6] == '1' and not known_gate[3] then
  -- Another fill has ended before this one, and has opened it.
  redis.call('HSET', gate, 'filling', fill)
  redis.call('SADD', P .. 'shut', name)
  known_gate[3] = fill
end
local woken = 0
local function in_parts(command, key, values)
  for first = 1, #values, 1000 do
    redis.call(command, key, unpack(values, first, math.min(first + 999, #values)))
  end
end
local row_mails = { row = row, head = { g = name } }
for stream, places in pairs(streams) do
  -- The first of them opens the stream; its mails come in order of time.
  into_stream(row, stream, name, places[2], places[1])
  in_parts('ZADD', P .. 'due:' .. row .. ':' .. stream, places)
  if flag > 0 and not known_gate[3] and tonumber(places[1]) <= now then
    woken = 1
  end
end
in_parts('RPUSH', P .. 'rows:' .. name, ids)
in_parts('RPUSH', P .. 'finished', finished)
counted(row_mails, DUE, new - suppressed)
counted(row_mails, 'dropped', suppressed)
redis.call('HINCRBY', bulk, 'rows', new)
redis.call('HINCRBY', bulk, 'suppressed', suppressed)
redis.call('HSET', bulk, 'last', at)
tidy(64)
write_counts()
if woken == 1 and not redis.call('SET', P .. 'wake:' .. string.match(row, '^[^/]*'), 1, 'NX', 'PX', flag) then
  woken = 0
end
return { new, suppressed, repeated, known, woken, at }

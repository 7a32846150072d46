-- Where each mail stands, and how many stand where. It moves mails between the states and keeps every index and count in
-- step; whether a move is right is for the script that asks. A move changes the mail's head; the script saves it.

local RETENTION = tonumber(ARGV[1])
local DUE, LEASED, HELD, DEAD = 'due', 'leased', 'held', 'dead'

local tally, group_tally = {}, {}

local function counted(mail, state, by)
  local field = mail.row .. '/' .. state
  tally[field] = (tally[field] or 0) + by
  local group = mail.head.g
  if group then
    local of_group = group_tally[group] or {}
    group_tally[group] = of_group
    of_group[state] = (of_group[state] or 0) + by
  end
end

-- Writes the counts that a script has collected; each script ends with it.
local function write_counts()
  for field, by in pairs(tally) do
    if by ~= 0 then
      redis.call('HINCRBY', P .. 'count', field, by)
    end
  end
  for group, of_group in pairs(group_tally) do
    for state, by in pairs(of_group) do
      if by ~= 0 then
        redis.call('HINCRBY', P .. 'group:' .. group, 'n:' .. state, by)
      end
    end
  end
  tally, group_tally = {}, {}
end

local function state_of(mail)
  return mail.head.s or DUE
end

local function moved(mail, state)
  counted(mail, state_of(mail), -1)
  counted(mail, state, 1)
  mail.head.s = state ~= DUE and state or nil
end

-- A row may have something ready at this time, and not before (a lower bound, so that nobody has to look).
local function sooner(row, at)
  redis.call('ZADD', P .. 'soon', 'LT', stamp(at), row)
end

local function epoch_of(group)
  return tonumber(redis.call('HGET', P .. 'group:' .. group, 'epoch') or 0)
end

local function is_called_back(mail)
  local group = mail.head.g
  return group ~= nil and tonumber(mail.head.o or 0) < epoch_of(group)
end

local function lease_end(mail)
  return tonumber(redis.call('ZSCORE', P .. 'leases:' .. mail.row, mail.id) or 0)
end

local function close_stream(row, stream)
  redis.call('ZREM', P .. 'waiting:' .. row, stream)
  redis.call('ZREM', P .. 'turns:' .. row, stream)
  redis.call('SREM', P .. 'streams:' .. row, stream)
  local domain, group = string.match(stream, '^([^/]*)/(.*)$')
  if group ~= '' then
    redis.call('ZREM', P .. 'by-group:' .. row .. ':' .. group, stream)
    redis.call('SREM', P .. 'places:' .. group, 'due ' .. row .. '\n' .. stream)
  end
  if domain ~= '' then
    redis.call('ZREM', P .. 'by-domain:' .. row .. ':' .. domain, stream)
    if redis.call('EXISTS', P .. 'by-domain:' .. row .. ':' .. domain) == 0 then
      redis.call('SREM', P .. 'domains:' .. row, domain)
    end
  end
end

local function place_due(mail, at)
  local due = P .. 'due:' .. mail.row .. ':' .. mail.stream
  redis.call('ZADD', due, stamp(at), mail.id)
  if redis.call('ZCARD', due) == 1 then
    redis.call('ZADD', P .. 'waiting:' .. mail.row, stamp(at), mail.stream)
    redis.call('SADD', P .. 'streams:' .. mail.row, mail.stream)
    if mail.head.g then
      redis.call('SADD', P .. 'places:' .. mail.head.g, 'due ' .. mail.row .. '\n' .. mail.stream)
    end
  else
    redis.call('ZADD', P .. 'waiting:' .. mail.row, 'XX', 'LT', stamp(at), mail.stream)
  end
  sooner(mail.row, at)
end

local function take_from_due(mail)
  local due = P .. 'due:' .. mail.row .. ':' .. mail.stream
  if redis.call('ZREM', due, mail.id) == 1 and redis.call('EXISTS', due) == 0 then
    close_stream(mail.row, mail.stream)
  end
end

local function unplace(mail)
  local state = state_of(mail)
  if state == DUE then
    take_from_due(mail)
  elseif state == LEASED then
    redis.call('ZREM', P .. 'leases:' .. mail.row, mail.id)
  elseif state == DEAD then
    redis.call('ZREM', P .. 'dead', mail.id)
  elseif state == HELD then
    redis.call('ZREM', P .. 'held', mail.id)
    local group = mail.head.g
    if group then
      local held = P .. 'held:' .. mail.row .. ':' .. group
      redis.call('SREM', held, mail.id)
      if redis.call('EXISTS', held) == 0 then
        redis.call('SREM', P .. 'places:' .. group, 'held ' .. mail.row)
      end
    end
  end
end

local function release_contents(mail)
  for _, name in ipairs(mail.head.x or {}) do
    if redis.call('HINCRBY', P .. 'content:' .. name, 'mails', -1) <= 0 then
      redis.call('DEL', P .. 'content:' .. name)
    end
  end
  mail.head.x = nil
end

-- What ends a mail: its payload goes, and itself after the retention.
local function put_to_rest(mail)
  release_contents(mail)
  mail.payload = ''
  if not mail.head.f then
    mail.head.f = stamp(now)
    redis.call('RPUSH', P .. 'finished', mail.head.f .. ' ' .. mail.id)
  end
end

local function finish(mail, state)
  unplace(mail)
  moved(mail, state)
  put_to_rest(mail)
end

local function make_due(mail, at)
  if is_called_back(mail) then
    return finish(mail, 'cancelled')
  end
  unplace(mail)
  place_due(mail, at)
  moved(mail, DUE)
end

local function make_held(mail)
  if is_called_back(mail) then
    return finish(mail, 'cancelled')
  end
  unplace(mail)
  redis.call('ZADD', P .. 'held', stamp(now), mail.id)
  local group = mail.head.g
  if group then
    redis.call('SADD', P .. 'held:' .. mail.row .. ':' .. group, mail.id)
    redis.call('SADD', P .. 'places:' .. group, 'held ' .. mail.row)
  end
  moved(mail, HELD)
end

local function make_dead(mail)
  if mail.head.q then
    return finish(mail, 'dropped')
  end
  unplace(mail)
  redis.call('ZADD', P .. 'dead', stamp(now), mail.id)
  moved(mail, DEAD)
end

-- Writes a pending lapse into the ledger: the lease's worker will not be heard any more.
local function take_lapse(mail)
  local head = mail.head
  if head.z then
    head.p = (head.p or 0) + 1
    if head.k then
      head.i, head.b, head.k = 1, 1, nil
    end
    head.z = nil
  end
  head.t = nil
end

local function lapse(mail, at)
  mail.head.z = 1
  if is_called_back(mail) then
    take_lapse(mail)
  end
  make_due(mail, at)
end

-- Does to one mail what the cancellation of its group has already counted.
local function call_back(mail)
  if state_of(mail) == HELD then
    redis.call('ZREM', P .. 'held', mail.id)
  end
  take_lapse(mail)
  mail.head.s = 'cancelled'
  put_to_rest(mail)
end

local function forget_group_if_empty(group)
  local known = redis.call('HGETALL', P .. 'group:' .. group)
  for i = 1, #known, 2 do
    if known[i] == 'paused' or (string.sub(known[i], 1, 2) == 'n:' and tonumber(known[i + 1]) > 0) then
      return
    end
  end
  redis.call('DEL', P .. 'group:' .. group)
end

local function remove(mail)
  unplace(mail)
  release_contents(mail)
  redis.call('DEL', P .. 'm:' .. mail.id)
  counted(mail, state_of(mail), -1)
  if mail.head.g then
    write_counts()
    forget_group_if_empty(mail.head.g)
  end
end

-- Gives up what cannot be read, found in a stream or among the leases of a row: a dead letter with its raw bytes.
local function bury_broken(mail, row, stream, state)
  local lane, mailer = string.match(row, '^([^/]*)/(.*)$')
  local domain, group = string.match(stream, '^([^/]*)/(.*)$')
  mail.head = { v = VERSION, l = lane, m = mailer, c = stamp(now), u = mail.broken }
  mail.head.g = group ~= '' and group or nil
  mail.head.cd = domain ~= '' and domain or nil
  mail.head.s = state ~= DUE and state or nil
  mail.head.o = mail.head.g and epoch_of(group) or nil
  mail.row, mail.stream = row, stream
  mail.broken = nil
  make_dead(mail)
  save(mail)
end

-- Takes a mail out of the books whose record is gone: somebody has deleted or evicted it.
local function write_off(id, row, stream, state)
  local _, group = string.match(stream, '^([^/]*)/(.*)$')
  local mail = { id = id, row = row, stream = stream, head = { s = state ~= DUE and state or nil } }
  mail.head.g = group ~= '' and group or nil
  unplace(mail)
  counted(mail, state, -1)
end

-- A mail as it stands now: what time and its group have done to it has been done, and saved.
local function find(id)
  local mail = loaded(id)
  if not mail or mail.broken then
    return nil
  end
  local state = state_of(mail)
  if state == LEASED then
    local ends = lease_end(mail)
    if ends <= now then
      lapse(mail, ends)
      save(mail)
    end
  elseif mail.head.f then
    if tonumber(mail.head.f) + RETENTION <= now then
      remove(mail)
      return nil
    end
  elseif state ~= DEAD and is_called_back(mail) then
    call_back(mail)
    save(mail)
  end
  return mail
end

-- Forgets what is past its retention and empties what cancelled groups left, a few of each: no call scans.
local function tidy(limit)
  for _ = 1, limit do
    local first = redis.call('LINDEX', P .. 'finished', 0)
    if not first then
      break
    end
    local at, id = string.match(first, '^(%S+) (.+)$')
    if tonumber(at) + RETENTION > now then
      break
    end
    redis.call('LPOP', P .. 'finished')
    local mail = loaded(id)
    if mail and not mail.broken and mail.head.f == at then
      remove(mail)
    end
  end
  local left = limit
  while left > 0 do
    local heap = redis.call('LINDEX', P .. 'called-back', 0)
    if not heap then
      break
    end
    local ids
    if string.sub(heap, 1, 4) == 'held' then
      ids = redis.call('SPOP', P .. heap, left)
    else
      ids = {}
      local popped = redis.call('ZPOPMIN', P .. heap, left)
      for i = 1, #popped, 2 do
        ids[#ids + 1] = popped[i]
      end
    end
    for _, id in ipairs(ids) do
      if not find(id) then
        redis.call('DEL', P .. 'm:' .. id)
      end
    end
    if #ids < left then
      redis.call('LPOP', P .. 'called-back')
    end
    left = left - math.max(#ids, 1)
  end
end

-- Makes the mails of a row due whose leases have run out, `limit` of them at most.
local function end_lapsed(row, limit)
  local ids = redis.call('ZRANGEBYSCORE', P .. 'leases:' .. row, '-inf', stamp(now), 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local mail = loaded(id)
    if not mail then
      write_off(id, row, '/', LEASED)
    elseif mail.broken then
      bury_broken(mail, row, '/', LEASED)
    else
      find(id)
    end
  end
  return #ids
end

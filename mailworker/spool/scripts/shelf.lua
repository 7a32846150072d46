-- Where each mail stands, and how many stand where. It moves mails between the states and keeps every index and count in
-- step; whether a move is right is for the script that asks. A move changes the mail's head; the script saves it.
--
-- An index tells of each mail all that must be known to take it out of the books without its record: that may have been
-- damaged or deleted (`sweep.lua`). So a lease of a mail that is in no plain stream is `id LF stream`, and who is dead or held
-- `id LF row LF stream`.

local RETENTION = tonumber(ARGV[1])
local DUE, LEASED, HELD, DEAD = 'due', 'leased', 'held', 'dead'

local tally, group_tally = {}, {}

local function counted(mail, state, by)
  if state ~= LEASED then
    -- Of the leased, the index of the leases is the count.
    local field = mail.row .. '/' .. state
    tally[field] = (tally[field] or 0) + by
  end
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
    if ((of_group[DUE] or 0) + (of_group[LEASED] or 0) + (of_group[HELD] or 0)) < 0 then
      note_settled(group)
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
  return group ~= nil and (mail.head.o or 0) < epoch_of(group)
end

local function lease_name(mail)
  return mail.stream == '/' and mail.id or mail.id .. '\n' .. mail.stream
end

local function place_name(mail)
  return mail.id .. '\n' .. mail.row .. '\n' .. mail.stream
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
  into_stream(mail.row, mail.stream, mail.head.g, mail.id, stamp(at))
end

local function take_from_due(mail)
  local due = P .. 'due:' .. mail.row .. ':' .. mail.stream
  if redis.call('ZREM', due, mail.id) == 1 and redis.call('EXISTS', due) == 0 then
    close_stream(mail.row, mail.stream)
    return true
  end
  return false
end

local function unplace(mail)
  local state = state_of(mail)
  if state == DUE then
    take_from_due(mail)
  elseif state == LEASED then
    redis.call('ZREM', P .. 'leases:' .. mail.row, lease_name(mail))
  elseif state == DEAD then
    redis.call('ZREM', P .. 'dead', place_name(mail))
  elseif state == HELD then
    redis.call('ZREM', P .. 'held', place_name(mail))
    local group = mail.head.g
    if group then
      local held = P .. 'held:' .. mail.row .. ':' .. group
      redis.call('SREM', held, place_name(mail))
      if redis.call('EXISTS', held) == 0 then
        redis.call('SREM', P .. 'places:' .. group, 'held ' .. mail.row)
      end
    end
  end
end

local function release_contents(mail)
  for _, name in ipairs(mail.head.x or {}) do
    local left = redis.pcall('HINCRBY', P .. 'content:' .. name, 'mails', -1)
    if type(left) ~= 'number' or left <= 0 then
      redis.call('DEL', P .. 'content:' .. name)
    end
  end
  mail.head.x = nil
end

local function finished_entry(mail)
  return table.concat({ mail.head.f, mail.id, mail.row, mail.head.s, mail.head.g or '' }, '\n')
end

-- What ends a mail: its payload goes, and itself after the retention. Its state is the final one already.
local function put_to_rest(mail)
  release_contents(mail)
  local head = mail.head
  -- A row names its recipient, and of one that was not accepted nothing else does.
  if not head.j or head.s == 'sent' then
    mail.payload = ''
  end
  if not head.f then
    head.f = stamp(now)
    redis.call('RPUSH', P .. 'finished', finished_entry(mail))
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
  redis.call('ZADD', P .. 'held', stamp(now), place_name(mail))
  local group = mail.head.g
  if group then
    redis.call('SADD', P .. 'held:' .. mail.row .. ':' .. group, place_name(mail))
    redis.call('SADD', P .. 'places:' .. group, 'held ' .. mail.row)
  end
  moved(mail, HELD)
end

local function make_dead(mail, keep)
  if mail.head.q and not keep then
    return finish(mail, 'dropped')
  end
  unplace(mail)
  redis.call('ZADD', P .. 'dead', stamp(now), place_name(mail))
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
    redis.call('ZREM', P .. 'held', place_name(mail))
  end
  take_lapse(mail)
  mail.head.s = 'cancelled'
  put_to_rest(mail)
end

-- Where the index of its state has a mail, as a score; nothing if it has not. What is finished is in none.
local function score_of(mail)
  local state = state_of(mail)
  if state == DUE then
    return redis.call('ZSCORE', P .. 'due:' .. mail.row .. ':' .. mail.stream, mail.id)
  elseif state == LEASED then
    return redis.call('ZSCORE', P .. 'leases:' .. mail.row, lease_name(mail))
  end
  return redis.call('ZSCORE', P .. state, place_name(mail))
end

-- A mail as it stands now: what time and its group have done to it has been done, and saved. Nil if it is not known; true as
-- the second value if it is, and cannot be read or is not where it says. With `head_only` its payload may be left where it is.
local function find(id, head_only)
  local mail = head_only and peeked(id) or loaded(id)
  if not mail then
    return nil, false
  elseif mail.broken then
    return nil, true
  end
  local state = state_of(mail)
  if mail.head.f then
    if tonumber(mail.head.f) + RETENTION <= now then
      -- Whoever tidies takes it out of the books.
      return nil, false
    end
  elseif (state == DUE or state == HELD) and is_called_back(mail) then
    call_back(mail)
    save(mail)
  else
    mail.at = tonumber(score_of(mail) or nil)
    if not mail.at then
      return nil, true
    elseif state == LEASED and mail.at <= now then
      lapse(mail, mail.at)
      save(mail)
      mail.at = nil
    end
  end
  return mail, false
end

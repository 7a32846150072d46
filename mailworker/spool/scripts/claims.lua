-- Which mails a claim gives out: lanes, turns, gates, and what is asked of each mail (DESIGN §8). The rules are those of
-- `claims.py`. It looks at a stream's first mail only when the gates of mailer, group and domain are open.

local MAX_LAPSES, STARVATION_GUARD = 3, 8
-- Mails that one claim moves to their end (expired, buried, unreadable) before it asks to be called again.
local endings_left = 1000

local NO_LIMITS = { burst = 1, domain_rate = {}, domain_concurrency = {} }
local LIMITS = cjson.decode(ARGV[6])

local function limits_of(mailer)
  return LIMITS[mailer] or NO_LIMITS
end

local turn

local function next_turn()
  turn = (turn or tonumber(redis.call('GET', P .. 'turn') or 0)) + 1
  return turn
end

local function paused(group)
  return group ~= '' and redis.call('HEXISTS', P .. 'group:' .. group, 'paused') == 1
end

local function park(row, stream, beside)
  redis.call('ZREM', P .. 'turns:' .. row, stream)
  redis.call('ZADD', beside, next_turn(), stream)
end

-- The stream whose turn it is, the id of its first mail, which is ready, and since when.
local function front(row)
  local ready = redis.call('ZRANGEBYSCORE', P .. 'waiting:' .. row, '-inf', stamp(now), 'LIMIT', 0, 1000)
  for _, stream in ipairs(ready) do
    redis.call('ZREM', P .. 'waiting:' .. row, stream)
    redis.call('ZADD', P .. 'turns:' .. row, next_turn(), stream)
  end
  while true do
    local stream = redis.call('ZRANGE', P .. 'turns:' .. row, 0, 0)[1]
    if not stream then
      return nil
    end
    local first = redis.call('ZRANGE', P .. 'due:' .. row .. ':' .. stream, 0, 0, 'WITHSCORES')
    if tonumber(first[2]) <= now then
      return stream, first[1], tonumber(first[2])
    end
    redis.call('ZREM', P .. 'turns:' .. row, stream)
    redis.call('ZADD', P .. 'waiting:' .. row, first[2], stream)
  end
end

local function verdict(mail)
  local head = mail.head
  local lapses = (head.p or 0) + (head.z and 1 or 0)
  if head.e and tonumber(head.e) <= now then
    return (head.a or 0) > 0 and 'give up' or 'expire'
  end
  if lapses >= MAX_LAPSES then
    return 'bury'
  end
  return lapses > 0 and 'alone' or 'give'
end

local function ended(mail, what)
  take_lapse(mail)
  if what == 'expire' then
    finish(mail, 'expired')
  else
    mail.head.u = what == 'bury' and mail.head.p .. ' workers in a row were lost while they had it'
      or 'its time was over before all were accepted'
    make_dead(mail)
  end
  save(mail)
end

-- Mails that had to be taken out of the books, and those that could not be read: the worker tells of them.
local lost, unreadable = {}, {}

local function open_domains(mailer, row, limits)
  for _, domain in ipairs(redis.call('SMEMBERS', P .. 'domains:' .. row)) do
    if domain_wait(mailer, domain, limits) <= 0 then
      -- One seat is for one mail: the stream that has waited for longest has a turn.
      local parked = P .. 'by-domain:' .. row .. ':' .. domain
      local stream = redis.call('ZPOPMIN', parked)[1]
      if stream then
        redis.call('ZADD', P .. 'turns:' .. row, next_turn(), stream)
      end
      if redis.call('EXISTS', parked) == 0 then
        redis.call('SREM', P .. 'domains:' .. row, domain)
      end
    end
  end
end

-- The mail whose turn it is and may be given out, with the verdict on it; what has closed gates is parked.
local function ready(mailer, row, limits)
  open_domains(mailer, row, limits)
  while true do
    local stream, id = front(row)
    if not stream then
      return nil
    end
    local domain, group = string.match(stream, '^([^/]*)/(.*)$')
    if paused(group) then
      park(row, stream, P .. 'by-group:' .. row .. ':' .. group)
    elseif domain ~= '' and domain_wait(mailer, domain, limits) > 0 then
      park(row, stream, P .. 'by-domain:' .. row .. ':' .. domain)
      redis.call('SADD', P .. 'domains:' .. row, domain)
    else
      local mail = loaded(id)
      local what = mail and not mail.broken and verdict(mail)
      if what == 'give' or what == 'alone' then
        return mail, what, domain
      end
      if endings_left <= 0 then
        return nil
      end
      endings_left = endings_left - 1
      if not mail then
        lost[#lost + 1] = id
        write_off(id, row, stream, DUE)
      elseif mail.broken then
        unreadable[#unreadable + 1] = id
        bury_broken(mail, row, stream, DUE)
      else
        ended(mail, what)
      end
    end
  end
end

-- Leases mails of a row, stream by stream, as long as its gates let them pass.
local function fill(mailer, row, limit, lease, token)
  local limits = limits_of(mailer)
  local leased = {}
  local ends = now + lease
  while #leased < limit do
    local mail, what, domain = ready(mailer, row, limits)
    -- One that may kill its worker waits for a claim of its own; it comes first in the next one.
    if not mail or (#leased > 0 and what == 'alone') then
      break
    end
    local its_token = token .. '-' .. #leased
    -- A probe goes alone by itself: once it is admitted, its gate is closed to the next one.
    local passed, is_probe = admit(mailer, domain, limits, its_token, ends)
    if not passed then
      break
    end
    redis.call('ZADD', P .. 'turns:' .. row, next_turn(), mail.stream)
    take_from_due(mail)
    take_lapse(mail)
    local head = mail.head
    head.t, head.y, head.k, head.pb = its_token, nil, nil, is_probe and 1 or nil
    redis.call('ZADD', P .. 'leases:' .. row, stamp(ends), mail.id)
    moved(mail, LEASED)
    save(mail)
    leased[#leased + 1] = mail
    if what == 'alone' then
      break
    end
  end
  if #leased > 0 then
    redis.call('ZADD', P .. 'mailers', next_turn(), mailer)
  end
  return leased
end

-- When the row may have something ready next, as a time; nil if only a person can say.
local function row_time(mailer, row)
  local limits = limits_of(mailer)
  local closed_for = gate_wait(mailer, limits)
  local soonest = NEVER
  for _, domain in ipairs(redis.call('SMEMBERS', P .. 'domains:' .. row)) do
    soonest = math.min(soonest, domain_wait(mailer, domain, limits))
  end
  if front(row) then
    soonest = 0
  end
  for _, index in ipairs({ 'waiting:', 'leases:' }) do
    local first = redis.call('ZRANGE', P .. index .. row, 0, 0, 'WITHSCORES')
    if first[2] then
      soonest = math.min(soonest, math.max(tonumber(first[2]) - now, 0))
    end
  end
  local wait = math.max(soonest, closed_for)
  return wait < NEVER and now + wait or nil
end

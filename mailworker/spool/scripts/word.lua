-- needs: clock stream outcomes record shelf gates
-- ARGV: retention, id, token, word, until, outcomes (JSON), 1 = a resend in doubt, reason, rate or "", domain's rate or "",
-- 1 = a dead mail is kept even if it is to fail silently.
-- The six words that end a lease: done, defer, snooze, bury, hold, drop. Returns 1 if it counts, or has counted already; 2 if its
-- bulk has paused itself for it.

local ACCEPTED, IN_DOUBT = 'a', 'i'
local id, token, word, until_ = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local outcomes, is_resend, reason = cjson.decode(ARGV[6]), ARGV[7] == '1', ARGV[8]
local rate, domain_rate = tonumber(ARGV[9]), tonumber(ARGV[10])

local function class_of(outcome)
  return string.sub(outcome, 1, 1)
end

-- Writes outcomes over the known ones, except that an acceptance stays for ever; tells whether one is in doubt.
local function merge(head, said)
  local doubtful = false
  for recipient, outcome in pairs(said) do
    head.out = head.out or {}
    local known = head.out[recipient]
    if not known or class_of(known) ~= ACCEPTED then
      head.out[recipient] = outcome
    end
    doubtful = doubtful or class_of(outcome) == IN_DOUBT
  end
  return doubtful
end

local function is_accepted_throughout(head)
  for _, outcome in pairs(head.out or {}) do
    if class_of(outcome) ~= ACCEPTED then
      return false
    end
  end
  return head.out ~= nil
end

local function heard(head)
  local doubtful = merge(head, outcomes)
  if head.k then
    head.p = nil
  end
  if doubtful or is_resend then
    head.i = 1
  end
  if is_resend then
    head.r = (head.r or 0) + 1
  end
  head.u = reason ~= '' and reason or nil
end

-- As if the lease had never been; the pause does not count as waiting.
local function refunded(head)
  if head.k then
    head.a = head.a > 1 and head.a - 1 or nil
  end
  if not head.a then
    head.a1 = nil
  elseif head.a1 then
    local pause = math.max(until_ - now, 0)
    if pause > 0 then
      head.n = stamp(tonumber(head.n or 0) + pause)
    end
  end
end

local function postponed(mail)
  mail.head.d = stamp(until_)
  make_due(mail, until_)
end

local moves = {
  done = function(mail) finish(mail, 'sent') end,
  defer = postponed,
  snooze = postponed,
  bury = function(mail) make_dead(mail, ARGV[11] == '1') end,
  hold = make_held,
  drop = function(mail) finish(mail, 'dropped') end,
}

local function take_away(mail, unsent)
  if state_of(mail) == LEASED then
    leave_gates(mail, unsent, rate, domain_rate)
  end
  take_lapse(mail)
end

-- What a worker without a lease knows for certain is who was accepted. If that is everybody, the mail is sent, wherever it
-- stood; if it is somebody, a newer lease whose work has not begun is void, since its worker would try them again.
local function hear_late(mail)
  local head = mail.head
  local news, any = {}, false
  for recipient, outcome in pairs(outcomes) do
    local known = head.out and head.out[recipient]
    if class_of(outcome) == ACCEPTED and not (known and class_of(known) == ACCEPTED) then
      news[recipient], any = outcome, true
    end
  end
  merge(head, news)
  if word == 'done' and is_accepted_throughout(head) and state_of(mail) ~= 'sent' then
    take_away(mail, not head.k)
    finish(mail, 'sent')
    save(mail)
  elseif any then
    if state_of(mail) == LEASED and not head.k then
      take_away(mail, true)
      make_due(mail, now)
    end
    save(mail)
  end
end

-- A bulk too many of whose last mails were rejected is paused; tells whether this one was the one too many. Of the rejected ones is
-- kept how many mails were settled by then, so that those that go well cost nothing.
local function stops_bulk(group)
  local known = redis.call('HMGET', P .. 'bulk:' .. group, 'max_bounces', 'bounce_window', 'forgotten')
  if not known[1] then
    return false
  end
  local gate = P .. 'group:' .. group
  local counts = redis.call('HMGET', gate, 'n:sent', 'n:dead', 'paused')
  local settled = tonumber(counts[1] or 0) + tonumber(counts[2] or 0) + tonumber(known[3] or 0)
  local bounces, window = P .. 'bounces:' .. group, tonumber(known[2])
  local number = redis.call('RPUSH', bounces, settled)
  while tonumber(redis.call('LINDEX', bounces, 0)) <= settled - window do
    redis.call('LPOP', bounces)
    number = number - 1
  end
  if number <= tonumber(known[1]) or counts[3] then
    return false
  end
  local why = string.format('%d of its last %d mails were rejected, more than %d', number, math.min(settled, window), known[1])
  redis.call('HSET', gate, 'paused', 1, 'why', why, 'itself', 1)
  redis.call('SADD', P .. 'shut', group)
  return true
end

-- The last outcomes that were no acceptances.
local function note_error(head)
  local _, outcome = next(outcomes)
  if not outcome or class_of(outcome) == ACCEPTED then
    return
  end
  local errors = P .. 'errors:' .. head.g
  redis.call('LPUSH', errors, stamp(now) .. '\n' .. head.w .. '\n' .. outcome)
  redis.call('LTRIM', errors, 0, 19)
end

local mail = find(id)
local fine = 0
local bounced
if mail then
  local head = mail.head
  if head.t == token and not head.y then
    leave_gates(mail, word == 'snooze', rate, domain_rate)
    if word == 'snooze' then
      refunded(head)
    else
      heard(head)
      head.b = nil
    end
    head.k, head.z, head.y = nil, nil, word
    if next(outcomes) and is_accepted_throughout(head) then
      head.u = nil
      finish(mail, 'sent')
    else
      moves[word](mail)
    end
    save(mail)
    fine = 1
    if head.j then
      note_error(head)
      bounced = word == 'bury' and class_of_row(head) == 'r'
    end
  elseif head.t == token and head.y == word then
    -- The same word again: the answer to the first one was lost.
    fine = 1
  else
    hear_late(mail)
  end
end
write_counts()
if bounced and stops_bulk(mail.head.g) then
  fine = 2
end
return fine

-- Which mails a claim gives out: lanes, turns, gates, and what is asked of each mail (DESIGN §8). The rules are those of
-- `claims.py`. It looks at a stream's first mail only when the gates of mailer, group and domain are open. What it leases it
-- writes at once at its end (`write_leases`): nothing of it is read again before.

local MAX_LAPSES, STARVATION_GUARD = 3, 8
-- Bytes that one claim hands over: payloads, and contents that several of its mails share once. One mail it always gives.
local MAX_BYTES = 8388608
-- Mails whose records are read in one go.
local READ_AHEAD = 16
-- Values that one command takes.
local MANY = 1000
-- Mails that one claim moves to their end (expired, buried, unreadable) before it asks to be called again.
local endings_left = 1000
-- Streams that one claim puts beside a closed gate, or back to wait for their time, before it asks to be called again.
local asides_left = 1000
-- Mails that had to be taken out of the books, and those that could not be read: the worker tells of them.
local lost, unreadable = {}, {}

local NO_LIMITS = { burst = 1, domain_rate = {}, domain_concurrency = {} }
local TOLD = cjson.decode(ARGV[6])

local function limits_of(mailer)
  return TOLD.limits[mailer] or NO_LIMITS
end

-- Whether the worker can deliver with a mailer; rows of others are for other workers.
local known = nil
if TOLD.mailers then
  known = {}
  for _, mailer in ipairs(TOLD.mailers) do
    known[mailer] = true
  end
end

local function is_known(mailer)
  return not known or known[mailer] == true
end

local function in_parts(command, key, values)
  for i = 1, #values, MANY do
    redis.call(command, key, unpack(values, i, math.min(i + MANY - 1, #values)))
  end
end

local turn

local function next_turn()
  turn = (turn or tonumber(redis.call('GET', P .. 'turn') or 0)) + 1
  return turn
end

-- The domains of a row beside whose gates streams are parked.
local domains = {}

local function parked_domains(row)
  local known = domains[row]
  if not known then
    known = redis.call('SMEMBERS', P .. 'domains:' .. row)
    table.sort(known)
    domains[row] = known
  end
  return known
end

local function park(row, stream, beside)
  asides_left = asides_left - 1
  redis.call('ZREM', P .. 'turns:' .. row, stream)
  redis.call('ZADD', beside, next_turn(), stream)
end

-- Lets a stream wait whose gate opens by the clock.
local function put_off(row, stream, seconds)
  asides_left = asides_left - 1
  redis.call('ZREM', P .. 'turns:' .. row, stream)
  redis.call('ZADD', P .. 'waiting:' .. row, stamp(now + seconds), stream)
end

local function park_by_domain(row, stream, domain)
  park(row, stream, P .. 'by-domain:' .. row .. ':' .. domain)
  if redis.call('SADD', P .. 'domains:' .. row, domain) == 1 then
    domains[row] = nil
  end
end

-- Gives the streams of a row a turn that have waited for their time, many at a time. Rows where that has been done -> whether
-- there may be more of them.
local roused = {}

local function rouse(row)
  local ready = redis.call('ZRANGEBYSCORE', P .. 'waiting:' .. row, '-inf', stamp(now), 'LIMIT', 0, MANY)
  if #ready > 0 then
    local turns = {}
    for _, stream in ipairs(ready) do
      turns[#turns + 1] = next_turn()
      turns[#turns + 1] = stream
    end
    in_parts('ZREM', P .. 'waiting:' .. row, ready)
    in_parts('ZADD', P .. 'turns:' .. row, turns)
  end
  roused[row] = #ready == MANY and 'in part' or 'all'
end

-- The first of the streams that have a turn and a mail that is ready, the id of that mail, and whether no other stream has a
-- turn. A stream that has none waits for its time. Nil also if this claim has put too many aside.
local function first_in_turn(row)
  while asides_left > 0 do
    local first = redis.call('ZRANGE', P .. 'turns:' .. row, 0, 1)
    local stream = first[1]
    if not stream then
      return nil
    end
    local mail = redis.call('ZRANGE', P .. 'due:' .. row .. ':' .. stream, 0, 0, 'WITHSCORES')
    if not mail[1] then
      asides_left = asides_left - 1
      close_stream(row, stream)
    elseif tonumber(mail[2]) <= now then
      return stream, mail[1], first[2] == nil
    else
      asides_left = asides_left - 1
      redis.call('ZREM', P .. 'turns:' .. row, stream)
      redis.call('ZADD', P .. 'waiting:' .. row, mail[2], stream)
    end
  end
  return nil
end

local function front(row)
  if not roused[row] then
    rouse(row)
  end
  local stream, id, alone = first_in_turn(row)
  while not stream and roused[row] == 'in part' and asides_left > 0 do
    rouse(row)
    stream, id, alone = first_in_turn(row)
  end
  return stream, id, alone
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

-- Mails that this claim has brought to their end: the worker tells of them.
local endings = {}

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
  local head = mail.head
  table.insert(endings, { mail.id, mail.row, state_of(mail), head.g or '', head.a or 0, head.u or '' })
end

-- Gives parked streams a turn whose domains take mails again; tells whether there is such a domain.
local function open_domains(mailer, row, limits)
  local is_one_open = false
  for _, domain in ipairs(parked_domains(row)) do
    if domain_wait(mailer, domain, limits) <= 0 then
      is_one_open = true
      -- One seat is for one mail: the stream that has waited for longest has a turn.
      local parked = P .. 'by-domain:' .. row .. ':' .. domain
      local stream = redis.call('ZPOPMIN', parked)[1]
      if stream then
        redis.call('ZADD', P .. 'turns:' .. row, next_turn(), stream)
      end
      if redis.call('EXISTS', parked) == 0 then
        redis.call('SREM', P .. 'domains:' .. row, domain)
        domains[row] = nil
      end
    end
  end
  return is_one_open
end

-- The mail whose turn it is and may be given out; `verdict` on it, its `domain`, and whether its stream is `alone` in the
-- row stand in it. What has closed gates is parked.
local function ready(mailer, row, limits)
  local is_one_open = open_domains(mailer, row, limits)
  while true do
    local stream, id, alone = front(row)
    if not stream then
      return nil
    end
    local domain, group = string.match(stream, '^([^/]*)/(.*)$')
    local closed_for = group_wait(group)
    if closed_for == NEVER then
      park(row, stream, P .. 'by-group:' .. row .. ':' .. group)
    elseif closed_for > 0 then
      put_off(row, stream, closed_for)
    elseif domain ~= '' and domain_wait(mailer, domain, limits) > 0 then
      park_by_domain(row, stream, domain)
    else
      if endings_left <= 0 then
        return nil
      end
      local mail = at_its_place(loaded(id), id, row, stream, DUE, lost, unreadable)
      if mail then
        mail.verdict, mail.domain, mail.group = verdict(mail), domain, group
        -- While a domain's gate is open, its parked streams get a turn one by one.
        mail.alone = alone and not is_one_open
        if mail.verdict == 'give' or mail.verdict == 'alone' then
          return mail
        end
        ended(mail, mail.verdict)
      end
      endings_left = endings_left - 1
    end
  end
end

-- What a claim has leased, and what is still to be written of it.
local leased = {}
local lease_ends, bytes, seen = nil, 0, {}
local records, leases = {}, {}

-- Whether a further mail would be too much to hand over; if not, it is counted in.
local function is_too_much(mail)
  local size, names = #mail.payload, {}
  for _, name in ipairs(mail.head.x or {}) do
    if not seen[name] and not names[name] then
      names[name] = true
      local kept = redis.pcall('HSTRLEN', P .. 'content:' .. name, 'bytes')
      size = size + (type(kept) == 'number' and kept or 0)
    end
  end
  if #leased > 0 and bytes + size > MAX_BYTES then
    return true
  end
  bytes = bytes + size
  for name in pairs(names) do
    seen[name] = true
  end
  return false
end

-- Leases a mail if its gates let it pass; taking it from its stream is the caller's.
local function lease_it(mailer, mail, limits, token)
  local its_token = token .. '-' .. #leased
  local passed, is_probe = admit(mailer, mail.domain, mail.group, limits, its_token, lease_ends)
  if not passed then
    return false
  end
  take_lapse(mail)
  local head = mail.head
  head.t, head.y, head.k, head.pb = its_token, nil, nil, is_probe and 1 or nil
  moved(mail, LEASED)
  mail.record = packed(mail)
  records[#records + 1] = P .. 'm:' .. mail.id
  records[#records + 1] = mail.record
  leases[#leases + 1] = stamp(lease_ends)
  leases[#leases + 1] = lease_name(mail)
  leased[#leased + 1] = mail
  return true
end

local function write_leases(row)
  for i = 1, #records, MANY do
    redis.call('MSET', unpack(records, i, math.min(i + MANY - 1, #records)))
  end
  in_parts('ZADD', P .. 'leases:' .. row, leases)
end

-- Leases what follows in a stream that is alone in its row, in one go, until one comes that needs more than that.
local function take_run(mailer, row, mail, limit, limits, token)
  local due = P .. 'due:' .. row .. ':' .. mail.stream
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', stamp(now), 'LIMIT', 0, limit - #leased)
  local taken = {}
  local goes_on = true
  for first = 1, #ids, READ_AHEAD do
    local keys = {}
    for i = first, math.min(first + READ_AHEAD - 1, #ids) do
      keys[#keys + 1] = P .. 'm:' .. ids[i]
    end
    for i, raw in ipairs(goes_on and redis.call('MGET', unpack(keys)) or {}) do
      local id = ids[first + i - 1]
      local one = raw and opened(id, raw)
      goes_on = one and not one.broken and one.row == row and one.stream == mail.stream and state_of(one) == DUE
        and verdict(one) == 'give'
      if goes_on then
        one.domain, one.group = mail.domain, mail.group
        goes_on = gate_wait(mailer, limits) <= 0 and not is_too_much(one) and lease_it(mailer, one, limits, token)
      end
      if not goes_on then
        break
      end
      taken[#taken + 1] = id
    end
    if not goes_on then
      break
    end
  end
  in_parts('ZREM', due, taken)
  if redis.call('EXISTS', due) == 0 then
    close_stream(row, mail.stream)
  end
end

-- Leases mails of a row, stream by stream, as long as its gates let them pass.
local function fill(mailer, row, limit, lease, token)
  local limits = limits_of(mailer)
  local mail = ready(mailer, row, limits)
  lease_ends = now + lease
  while mail do
    -- One that may kill its worker waits for a claim of its own; it comes first in the next one.
    -- A probe goes alone by itself: once it is admitted, its gate is closed to the next one.
    if
      (#leased > 0 and mail.verdict == 'alone')
      or gate_wait(mailer, limits) > 0
      or is_too_much(mail)
      or not lease_it(mailer, mail, limits, token)
    then
      break
    end
    redis.call('ZADD', P .. 'turns:' .. row, next_turn(), mail.stream)
    -- It was due until now; only its index knows that.
    local due = P .. 'due:' .. row .. ':' .. mail.stream
    redis.call('ZREM', due, mail.id)
    if redis.call('EXISTS', due) == 0 then
      close_stream(row, mail.stream)
    elseif mail.alone and mail.verdict == 'give' and #leased < limit then
      take_run(mailer, row, mail, limit, limits, token)
    end
    if mail.verdict == 'alone' or #leased >= limit then
      break
    end
    mail = ready(mailer, row, limits)
  end
  if #leased > 0 then
    write_leases(row)
    redis.call('ZADD', P .. 'mailers', next_turn(), mailer)
  end
end

-- When the row may have something ready next, as a time; nil if only a person can say.
local function row_time(mailer, row)
  local limits = limits_of(mailer)
  local closed_for = gate_wait(mailer, limits)
  local soonest = NEVER
  for _, domain in ipairs(parked_domains(row)) do
    soonest = math.min(soonest, domain_wait(mailer, domain, limits))
  end
  if first_in_turn(row) or asides_left <= 0 then
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

-- What takes mails out of the books: their retention, the cancellation of their group, or damage to their record. And what
-- ends leases that have run out. Each does a few mails of it at a time.

-- Seconds for which a bulk is remembered whose mails are all forgotten.
local MEMORY_OF_BULKS = 7776000

local function forget_group_if_empty(group)
  local known = redis.call('HGETALL', P .. 'group:' .. group)
  local is_paused, is_cancelled = false, false
  for i = 1, #known, 2 do
    is_paused, is_cancelled = is_paused or known[i] == 'paused', is_cancelled or known[i] == 'cancelled'
    if string.sub(known[i], 1, 2) == 'n:' and tonumber(known[i + 1]) > 0 then
      return
    end
  end
  local bulk = redis.call('HMGET', P .. 'bulk:' .. group, 'plan', 'filled')
  -- A bulk that is cancelled is over, whatever it was before; one without an end of its filling waits for rows.
  if not (bulk[1] and is_cancelled) and (is_paused or (bulk[1] and not bulk[2])) then
    return
  end
  redis.call('DEL', P .. 'group:' .. group)
  redis.call('SREM', P .. 'shut', group)
  if bulk[1] then
    -- What it was stays known for a while longer, so that nobody sends it again by mistake.
    redis.call('DEL', P .. 'letter:' .. group, P .. 'rows:' .. group, P .. 'windows:' .. group, P .. 'bounces:' .. group)
    for _, kept in ipairs({ 'bulk:', 'outcomes:', 'errors:', 'domains-of:' }) do
      redis.call('EXPIRE', P .. kept .. group, MEMORY_OF_BULKS)
    end
  end
end

-- Forgets a mail that stands at no place (any more).
local function forget(id, row, group, state)
  redis.call('DEL', P .. 'm:' .. id)
  counted({ row = row, head = { g = group } }, state, -1)
  if group then
    write_counts()
    if redis.call('EXISTS', P .. 'bulk:' .. group) == 1 then
      redis.call('HINCRBY', P .. 'bulk:' .. group, 'forgotten', 1)
    end
    forget_group_if_empty(group)
  end
end

local function remove(mail)
  unplace(mail)
  release_contents(mail)
  forget(mail.id, mail.row, mail.head.g, state_of(mail))
end

local function group_of(stream)
  local group = string.match(stream, '^[^/]*/(.*)$')
  return group ~= '' and group or nil
end

-- A mail with no record of its own, as the index has it in which its id was found.
local function as_placed(id, row, stream, state)
  local lane, mailer = string.match(row, '^([^/]*)/(.*)$')
  local domain = string.match(stream, '^([^/]*)/')
  local head = { v = VERSION, l = lane, m = mailer, c = stamp(now), g = group_of(stream) }
  head.cd = domain ~= '' and domain or nil
  head.s = state ~= DUE and state or nil
  return { id = id, row = row, stream = stream, head = head }
end

-- The mail that an index names, if its record fits that place; what does not fit is put right, and nil returned: a record
-- that cannot be used makes a dead letter with its raw bytes, one that is gone is taken out of the books.
-- `lost` and `unreadable` are lists for the ids of such mails, or nil.
local function at_its_place(mail, id, row, stream, state, lost, unreadable)
  if mail and not mail.broken then
    if mail.row == row and mail.stream == stream and state_of(mail) == state then
      return mail
    end
    mail = { payload = redis.call('GET', P .. 'm:' .. id), broken = 'its record is not of where it stands', contents = mail.head.x }
  end
  local placed = as_placed(id, row, stream, state)
  if not mail then
    unplace(placed)
    counted(placed, state, -1)
    if lost then
      lost[#lost + 1] = id
    end
    return nil
  end
  placed.payload = mail.payload
  placed.head.u, placed.head.x = mail.broken, mail.contents
  placed.head.o = placed.head.g and epoch_of(placed.head.g) or nil
  make_dead(placed)
  save(placed)
  if unreadable then
    unreadable[#unreadable + 1] = id
  end
  return nil
end

-- Empties what cancelled groups left, `limit` mails at most; tells whether nothing is left of it.
local function empty_heaps(limit)
  while true do
    local entry = redis.call('LINDEX', P .. 'called-back', 0)
    if not entry then
      return true
    elseif limit <= 0 then
      return false
    end
    local heap, row, stream = string.match(entry, '^(.-)\n(.-)\n(.*)$')
    local places
    if string.sub(heap, 1, 4) == 'held' then
      places = redis.call('SPOP', P .. heap, limit)
    else
      places = {}
      local popped = redis.call('ZPOPMIN', P .. heap, limit)
      for i = 1, #popped, 2 do
        places[#places + 1] = popped[i]
      end
    end
    for _, place in ipairs(places) do
      local id, of_stream = string.match(place, '^(.-)\n.-\n(.*)$')
      if id then
        redis.call('ZREM', P .. 'held', place)
      else
        id, of_stream = place, stream
      end
      local mail = loaded(id)
      if mail and not mail.broken and (mail.head.f or (state_of(mail) ~= DEAD and mail.row == row and is_called_back(mail))) then
        find(id)
      else
        at_its_place(mail, id, row, of_stream, 'cancelled')
      end
    end
    if #places < limit then
      redis.call('LPOP', P .. 'called-back')
    end
    limit = limit - math.max(#places, 1)
  end
end

local function has_to_forget()
  local first = redis.call('LINDEX', P .. 'finished', 0)
  if first and tonumber(string.match(first, '^[^\n]*')) + RETENTION <= now then
    return first
  end
  return nil
end

-- Forgets what is past its retention and empties what cancelled groups left, a few of each: no call scans.
-- The heaps go first: what is in one of them has its record as long as nobody has deleted it by hand.
local function tidy(limit)
  if not empty_heaps(limit) then
    return
  end
  for _ = 1, limit do
    local first = has_to_forget()
    if not first then
      return
    end
    redis.call('LPOP', P .. 'finished')
    local at, id, row, state, group = string.match(first, '^(.-)\n(.-)\n(.-)\n(.-)\n(.*)$')
    local mail = loaded(id)
    if not mail then
      forget(id, row, group ~= '' and group or nil, state)
    elseif not mail.broken and mail.head.f == at then
      remove(mail)
    else
      local _, broken = find(id)
      if broken then
        at_its_place(mail, id, row, '/' .. group, state)
      end
    end
  end
end

-- Makes the mails of a row due whose leases have run out, `limit` of them at most.
local function end_lapsed(row, limit, lost, unreadable)
  local places = redis.call('ZRANGEBYSCORE', P .. 'leases:' .. row, '-inf', stamp(now), 'LIMIT', 0, limit, 'WITHSCORES')
  for i = 1, #places, 2 do
    local id, stream = string.match(places[i], '^([^\n]*)\n?(.*)$')
    local mail = at_its_place(loaded(id), id, row, stream ~= '' and stream or '/', LEASED, lost, unreadable)
    if mail then
      lapse(mail, tonumber(places[i + 1]))
      save(mail)
    end
  end
  return #places / 2
end

import { PREAMBLE } from './list-scripts.ts'
import { RedisScript } from '../redis-script.ts'

/** True once nobody has claimed it for two visibility periods. A gap in the watch starts them anew: it may have been acknowledged and have come again. */
const UNCLAIMED_LONG = `
local function unclaimed_long (key, field, time, visibility)
  local first, last = string.match(redis.call('HGET', key, field) or '', '^(%d+):(%d+)$')
  if not first or time - last > visibility then first = time end
  if time - first >= 2 * visibility then return true end
  redis.call('HSET', key, field, string.format('%.0f:%.0f', first, time))
  return false
end`

/**
 * Looks at a window of processing, counted from its oldest element, and puts back what was abandoned: expired claims at once, what
 * nobody claims after two visibility periods of watching. Identical bytes are counted: there are as many owners as claims.
 *
 * KEYS 1 queue 2 processing 3 claims 4 delayed 5 first seen 6 recoveries
 * ARGV 1 visibility 2 window 3 offset 4 nonce 5 most recoveries 6 within, in ms
 * Returns messages put back, messages that were due, and digest, token and body of what was recovered too often: that is claimed for
 * the caller, who buries it.
 */
export const RECOVER = new RedisScript('recover', `${PREAMBLE}${UNCLAIMED_LONG}
local visibility, window, offset = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time, due = now(), 0
if offset == 0 then due = release(KEYS[4], KEYS[1], window) end
local bodies = redis.call('LRANGE', KEYS[2], -offset - window, -offset - 1)
local copies, oldest = {}, {}
for i = #bodies, 1, -1 do
  local digest = redis.sha1hex(bodies[i])
  if not copies[digest] then oldest[#oldest + 1] = { digest, bodies[i] } end
  copies[digest] = (copies[digest] or 0) + 1
end
local back, reply = {}, { 0, due }
local function put_back (digest, body, live)
  local count, since = recovered(KEYS[6], digest)
  if time - since > tonumber(ARGV[6]) then count, since = 0, time end
  if count >= tonumber(ARGV[5]) then
    local token = ARGV[4] .. '.' .. #reply
    live[#live + 1] = token .. ':' .. string.format('%.0f', time + visibility)
    for _, value in ipairs({ digest, token, body }) do reply[#reply + 1] = value end
  elseif redis.call('LREM', KEYS[2], -1, body) == 1 then
    redis.call('HSET', KEYS[6], digest, string.format('%.0f:%.0f', count + 1, since))
    back[#back + 1] = body
  end
end
for _, element in ipairs(oldest) do
  local digest, body = element[1], element[2]
  local live, expired = {}, 0
  for entry in string.gmatch(redis.call('HGET', KEYS[3], digest) or '', '%S+') do
    if tonumber(string.match(entry, ':(%d+)$')) > time then live[#live + 1] = entry else expired = expired + 1 end
  end
  local free = math.min(expired, math.max(0, copies[digest] - #live))
  local unclaimed = copies[digest] - #live - expired
  if unclaimed <= 0 then
    redis.call('HDEL', KEYS[5], digest)
  elseif unclaimed_long(KEYS[5], digest, time, visibility) then
    redis.call('HDEL', KEYS[5], digest)
    free = free + unclaimed
  end
  for _ = 1, free do put_back(digest, body, live) end
  if expired > 0 or free > 0 then keep(KEYS[3], digest, live) end
end
for i = #back, 1, -1 do redis.call('RPUSH', KEYS[1], back[i]) end
reply[1] = #back
return reply`)

/**
 * Deletes entries that nothing refers to any more: their latest time is longer ago than the horizon.
 * KEYS 1 hash. ARGV 1 cursor 2 horizon in ms. Returns the next cursor.
 */
export const SWEEP = new RedisScript('sweep', `${PREAMBLE}
local page, time = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 100), now()
for i = 1, #page[2], 2 do
  local latest = 0
  for ms in string.gmatch(page[2][i + 1], ':(%d+)') do latest = math.max(latest, tonumber(ms)) end
  if time - latest > tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], page[2][i]) end
end
return page[1]`)

/** Which of these elements of another slot have been unclaimed for two visibility periods. KEYS 1 first seen. ARGV 1 visibility 2… bodies. Returns 1 or 0 for each. */
export const WATCH = new RedisScript('watch', `${PREAMBLE}${UNCLAIMED_LONG}
local reply, time = {}, now()
for i = 2, #ARGV do
  reply[#reply + 1] = unclaimed_long(KEYS[1], 'untagged.' .. redis.sha1hex(ARGV[i]), time, tonumber(ARGV[1])) and 1 or 0
end
return reply`)

/** Puts a copy of an element of another slot into processing, claimed. KEYS 1 processing 2 claims 3 first seen. ARGV 1 body 2 token 3 visibility. Returns its digest. */
export const ADOPT = new RedisScript('adopt', `${PREAMBLE}
local digest = redis.sha1hex(ARGV[1])
redis.call('LPUSH', KEYS[1], ARGV[1])
claim(KEYS[2], digest, ARGV[2], now() + ARGV[3])
redis.call('HDEL', KEYS[3], 'untagged.' .. digest)
return digest`)

/**
 * Closed at night and at weekends: package mirrors only from Monday to Friday, 7:00 to 19:00, whatever else is open. Tunnels that are open
 * at closing time are closed then.
 *
 *     hooks: { files: [examples/business-hours.ts] }
 */
import { defineHook } from 'sallyport'

const OPENS_HOUR = 7
const CLOSES_HOUR = 19
const TIME_ZONE = process.env['BUSINESS_TIME_ZONE'] ?? 'Europe/Berlin'

/** Features of the documented list that nobody needs at night; `entries` shows them all. */
const IN_HOURS_ONLY = new Set(['python', 'python-files', 'r'])

/** Shorter than anybody would notice at the door, and long enough to be asked once for hundreds of requests. */
const KEEP_SECONDS = 30

const clock = new Intl.DateTimeFormat('en-GB', {
  timeZone: TIME_ZONE,
  weekday: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})

/** Seconds until closing time; 0 while it is closed. */
export function secondsLeft(now: Date): number {
  const parts = new Map(clock.formatToParts(now).map(({ type, value }) => [type, value]))
  const second = Number(parts.get('hour')) * 3600 + Number(parts.get('minute')) * 60 + Number(parts.get('second'))
  const isWeekend = parts.get('weekday') === 'Sat' || parts.get('weekday') === 'Sun'
  return isWeekend || second < OPENS_HOUR * 3600 ? 0 : Math.max(0, CLOSES_HOUR * 3600 - second)
}

/** The hour, for who tries it out: `BUSINESS_NOW=2026-11-21T12:00:00Z`. */
function now(): Date {
  const set = process.env['BUSINESS_NOW']
  return set === undefined ? new Date() : new Date(set)
}

export default defineHook({
  onRequest({ feature }) {
    // Only `feature` is read, so an answer is kept for every request of the same feature.
    if (feature === undefined || !IN_HOURS_ONLY.has(feature)) return { verdict: 'pass', cacheSeconds: 3600 }
    const seconds = secondsLeft(now())
    if (seconds === 0)
      return {
        verdict: 'deny',
        message: `open Monday to Friday, ${OPENS_HOUR}:00 to ${CLOSES_HOUR}:00 ${TIME_ZONE}`,
        cacheSeconds: KEEP_SECONDS,
      }
    return { verdict: 'narrow', seconds, cacheSeconds: Math.min(KEEP_SECONDS, seconds) }
  },
})

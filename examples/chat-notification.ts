/**
 * Tells a chat channel what is refused: one message for all of a minute, each destination once with how often and why, however many
 * requests there were. What it gathered is sent also when the gateway ends.
 *
 *     hooks: { files: [examples/chat-notification.ts] }
 *
 * The webhook is a secret: it is read from the environment, `CHAT_WEBHOOK_URL`. With `workers` each worker sends its own messages. The
 * message goes out from the gateway's own network and not through the proxy.
 */
import { defineHook } from 'sallyport'

const WEBHOOK = process.env['CHAT_WEBHOOK_URL']
const EVERY_MS = Number(process.env['CHAT_EVERY_MS'] ?? 60_000)
const SEND_MS = 1_500

/** Lines in a message; what is more is counted in its last line. */
const LINES_MAX = 20

/** Destinations that are remembered between two messages: a scan must not fill the memory. */
const DESTINATIONS_MAX = 1_000

interface Refusals {
  times: number
  readonly reason: string
  readonly hint: string | undefined
}

let refusals = new Map<string, Refusals>()
let more = 0
let timer: ReturnType<typeof setTimeout> | undefined

if (WEBHOOK === undefined) throw new Error('set CHAT_WEBHOOK_URL to the webhook of the channel')

async function send(): Promise<void> {
  clearTimeout(timer)
  timer = undefined
  const gathered = [...refusals].sort(([, a], [, b]) => b.times - a.times)
  const left = more + gathered.slice(LINES_MAX).reduce((sum, [, { times }]) => sum + times, 0)
  refusals = new Map()
  more = 0
  if (gathered.length === 0) return
  const lines = gathered
    .slice(0, LINES_MAX)
    .map(([to, { times, reason, hint }]) => `${times} x ${to}: ${reason}${hint === undefined ? '' : ` (${hint})`}`)
  const text = ['Refused by the egress gateway:', ...lines, ...(left === 0 ? [] : [`and ${left} more`])].join('\n')
  const answer = await fetch(WEBHOOK as string, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ text }),
    signal: AbortSignal.timeout(SEND_MS),
  })
  if (!answer.ok) throw new Error(`the chat answered ${answer.status}`)
}

export default defineHook({
  onDenied({ host = 'no host', port, reason = '', hint }) {
    const to = port === undefined ? host : `${host}:${port}`
    const known = refusals.get(to)
    if (known !== undefined) known.times++
    else if (refusals.size < DESTINATIONS_MAX) refusals.set(to, { times: 1, reason, hint })
    else more++
    // Not awaited: whether the chat answers is no matter of the next refusal. A failure is in the gateway's log.
    timer ??= setTimeout(() => void send(), EVERY_MS)
  },

  async onStop() {
    await send()
  },
})

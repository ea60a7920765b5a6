/**
 * Out only with a ticket: what is not of the documented list needs the number of a change, which the client sends to the proxy in a header
 * field. With curl: `curl --proxy-header 'X-Ticket: CHG0012345' https://...`; it is not sent on to an origin over HTTPS.
 *
 *     hooks: { files: [examples/ticket-number.ts] }
 */
import { defineHook } from 'sallyport'

const TICKET = /^CHG\d{7}$/

export default defineHook({
  onRequest({ entry, proxyHeaders }) {
    // Operator rules are `rule/NAME`; the documented hosts need no ticket.
    if (entry?.startsWith('rule/') !== true) return { verdict: 'pass', cacheSeconds: 3600 }
    // Of the CONNECT, also for a request inside its tunnel.
    const ticket = proxyHeaders['x-ticket']
    if (ticket === undefined)
      return {
        verdict: 'deny',
        message: 'send the number of the change to the proxy as X-Ticket: CHG0012345',
        cacheSeconds: 3600,
      }
    if (!TICKET.test(ticket)) return { verdict: 'deny', message: 'X-Ticket is not the number of a change: CHG and seven digits' }
    // One entry of the cache for each ticket and rule that is in use.
    return { verdict: 'pass', cacheSeconds: 300 }
  },
})

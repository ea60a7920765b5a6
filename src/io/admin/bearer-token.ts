import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** Whether the request carries the token. Digests are compared: equally long, and in constant time. */
export function hasToken(req: IncomingMessage, token: string): boolean {
  const [scheme, sent = ''] = (req.headers.authorization ?? '').split(' ')
  if (scheme?.toLowerCase() !== 'bearer') return false
  return timingSafeEqual(sha256(sent), sha256(token))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

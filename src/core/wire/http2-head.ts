import { err, ok, type Result } from '../result.ts'
import type { RequestHead, WireProblem } from './request-head.ts'

/**
 * The HTTP/1.1 head that an HTTP/2 request means, so that one set of rules judges both (RFC 9113 section 8.3.1). `:authority`,
 * a `host` field and an absolute target may name the host in three ways; they must not differ.
 *
 * @param rawHeaders names and values in turn, pseudo-fields included
 * @param hasBody the stream goes on after its head
 */
export function headOfHttp2(rawHeaders: readonly string[], hasBody: boolean): Result<RequestHead, WireProblem> {
  const pseudo = new Map<string, string>()
  const fields: string[] = []
  const cookies: string[] = []
  let host: string | undefined
  let hasLength = false
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    if (name.startsWith(':')) {
      pseudo.set(name, value)
      continue
    }
    if (name === 'host') {
      if (host !== undefined) return err({ reason: 'malformed_request', detail: 'more than one Host' })
      host = value
    } else if (name === 'cookie') cookies.push(value)
    else fields.push(name, value)
    hasLength ||= name === 'content-length'
  }
  // RFC 9113 section 8.2.3: split for compression, put together again for HTTP/1.1.
  if (cookies.length > 0) fields.push('cookie', cookies.join('; '))
  const method = pseudo.get(':method') ?? ''
  const target = pseudo.get(':path') ?? ''
  const authority = pseudo.get(':authority') ?? host
  if (method === 'CONNECT' || pseudo.has(':protocol'))
    return err({ reason: 'method_not_listed', detail: 'CONNECT inside a tunnel' })
  if (authority === undefined) return err({ reason: 'malformed_request', detail: 'neither :authority nor host' })
  if (host !== undefined && host !== authority) return err({ reason: 'host_mismatch', detail: ':authority and host differ' })
  if (!target.startsWith('/') && target !== '*') return err({ reason: 'malformed_request', detail: ':path is no path' })
  fields.unshift('host', authority)
  if (hasBody && !hasLength) fields.push('transfer-encoding', 'chunked')
  return ok({ method, target, httpVersion: '1.1', rawHeaders: fields })
}

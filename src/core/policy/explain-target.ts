import { parseAuthority } from '../names/authority.ts'
import { err, ok, type Result } from '../result.ts'
import type { ExplainTarget } from './explain.ts'

const DEFAULT_PORT = { http: 80, https: 443 } as const

/** Reads `host`, `host:port` or a URL; a bare host is asked about for port 443. */
export function parseExplainTarget(text: string, method = 'GET'): Result<ExplainTarget, string> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)
  if (scheme === null) {
    const authority = parseAuthority(text, 443)
    return authority.ok ? ok({ authority: authority.value }) : authority
  }
  const name = scheme[1]?.toLowerCase()
  if (name !== 'http' && name !== 'https') return err(`\`${name}\` is not carried; ask about \`host:port\`, http:// or https://`)
  const rest = text.slice(scheme[0].length).replace(/#.*/s, '')
  const end = rest.search(/[/?]/)
  const authority = parseAuthority(end < 0 ? rest : rest.slice(0, end), DEFAULT_PORT[name])
  if (!authority.ok) return authority
  const [path] = end < 0 ? [] : rest.slice(end).split('?', 1)
  return ok({ authority: authority.value, url: { scheme: name, path: path || '/', method } })
}

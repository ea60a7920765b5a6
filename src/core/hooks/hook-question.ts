import type { Decision, EgressRequest } from '../policy/decide.ts'
import type { Field } from '../wire/fields.ts'

/** What a hook is asked about, as it is known when the policy has decided. */
export interface HookFacts {
  readonly id: string
  readonly kind: string
  readonly listener: string
  readonly client: string
  readonly group?: string | undefined
  readonly user?: string | undefined
  readonly parent?: string | undefined
  readonly request: EgressRequest
  readonly decision: Decision
  /** Header fields of the request, name and value in turn, as they came. */
  readonly fields: readonly string[]
  /** Header fields that the client sent to the proxy: of the CONNECT, for a request inside its tunnel. */
  readonly proxyFields: readonly string[]
}

/** Fields that are passwords. Hooks are trusted code, and have no use for what they might log. */
const WITHHELD: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie'])

/** One request as hooks see it: whole, to be sent to them, or field by field, to find an answer that was kept. */
export class HookQuestion {
  readonly facts: HookFacts

  constructor(facts: HookFacts) {
    this.facts = facts
  }

  /**
   * A field by the name under which its reading is recorded: `host`, `headers:x-ticket`, or `headers` for all of them.
   * Nothing for a field that there is not.
   */
  valueOf(field: string): string | undefined {
    const { facts } = this
    const { decision, request } = facts
    switch (field) {
      case 'kind':
        return facts.kind
      case 'listener':
        return facts.listener
      case 'client':
        return facts.client
      case 'group':
        return facts.group
      case 'user':
        return facts.user
      case 'parent':
        return facts.parent
      case 'host':
        return request.host.text
      case 'port':
        return String(request.port)
      case 'method':
        return request.http?.method
      case 'path':
        return request.http?.path
      case 'verdict':
        return decision.verdict
      case 'reason':
        return decision.verdict === 'deny' ? decision.reason : undefined
      case 'entry':
        return decision.entry?.id
      case 'feature':
        return decision.entry?.feature
      case 'headers':
        return JSON.stringify(shownFields(facts.fields))
      case 'proxyHeaders':
        return JSON.stringify(shownFields(facts.proxyFields))
      default:
        if (field.startsWith('headers:')) return fieldNamed(facts.fields, field.slice('headers:'.length))
        if (field.startsWith('proxyHeaders:')) return fieldNamed(facts.proxyFields, field.slice('proxyHeaders:'.length))
        return undefined
    }
  }

  /** The request as plain data; see `HookRequest` in the library for what each means. */
  toJSON(): Readonly<Record<string, unknown>> {
    const { id, kind, listener, client, group, user, parent, request, decision, fields, proxyFields } = this.facts
    return {
      id,
      kind,
      listener,
      client,
      group,
      user,
      parent,
      host: request.host.text,
      port: request.port,
      method: request.http?.method,
      path: request.http?.path,
      verdict: decision.verdict,
      reason: decision.verdict === 'deny' ? decision.reason : undefined,
      entry: decision.entry?.id,
      feature: decision.entry?.feature,
      headers: shownFields(fields),
      proxyHeaders: shownFields(proxyFields),
    }
  }
}

/** Whether an answer that depends on the field can hold for another request too. */
export function mayBeKept(field: string): boolean {
  return field !== 'id' && field !== 'parent'
}

/** Names in lower case; a name that comes twice has its values joined, as RFC 9110 section 5.3 has it. */
function shownFields(fields: readonly string[]): readonly Field[] {
  const shown = new Map<string, string>()
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] ?? '').toLowerCase()
    if (WITHHELD.has(name)) continue
    const before = shown.get(name)
    shown.set(name, before === undefined ? (fields[i + 1] ?? '') : `${before}, ${fields[i + 1]}`)
  }
  return [...shown]
}

function fieldNamed(fields: readonly string[], name: string): string | undefined {
  if (WITHHELD.has(name)) return undefined
  let found: string | undefined
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const own = fields[i] ?? ''
    if (own.length !== name.length || own.toLowerCase() !== name) continue
    found = found === undefined ? fields[i + 1] : `${found}, ${fields[i + 1]}`
  }
  return found
}

import type { AuditEvent, RequestKind } from './core/audit-event.ts'
import type { PolicyReason } from './core/policy/reasons.ts'

/**
 * What a hook file is written against. This module has no imports at run time: it is bundled into every hook.
 */

/**
 * A request as the policy has decided it and before the mode counts. Read the fields that matter and no others: an answer that may be
 * kept (`cacheSeconds`) is kept for every request that is equal in the fields that were read.
 */
export interface HookRequest {
  /** Names the request in log and answer. An answer that depends on it cannot be kept. */
  readonly id: string
  /** How it came: `connect` opens a tunnel, `inspected` is a request out of TLS that was ended at the gateway. */
  readonly kind: RequestKind
  /** Key of the listener in `listen`. */
  readonly listener: string
  /** Address of the client. */
  readonly client: string
  /** Name of the client's group; absent where it is in none. */
  readonly group?: string
  /** Who asks, where a password or a certificate told: the user's name, or the name of the certificate that a group is for. */
  readonly user?: string
  /** `id` of the tunnel that it came through. */
  readonly parent?: string
  /** Canonical: lower case, no trailing dot; an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
  /** Absent for what opens a tunnel: there is nothing but host and port yet. */
  readonly method?: string
  /** As forwarded, without its query; absent where `method` is. */
  readonly path?: string
  /** What the policy says: `deny` only where a hook, or report mode, can still let it through. */
  readonly verdict: 'allow' | 'inspect' | 'deny'
  /** Of a `deny`. */
  readonly reason?: PolicyReason
  /** Id of the entry that decided, or that came nearest. */
  readonly entry?: string
  readonly feature?: string
  /**
   * Header fields of the request, names in lower case, a repeated one joined with `, `. `authorization`, `proxy-authorization` and
   * `cookie` are never there.
   */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Header fields that the client sent to the proxy: those of the CONNECT for a request inside its tunnel, else the same as `headers`. */
  readonly proxyHeaders: Readonly<Record<string, string | undefined>>
}

/** How long an answer may be kept, for requests that are equal in every field that was read. */
export interface Keep {
  /** Seconds; without it the hook is asked again for the next request. What depends on the clock keeps it short. */
  readonly cacheSeconds?: number
}

/** What a hook says to a request. */
export type HookResponse =
  /** No objection. */
  | (Keep & { readonly verdict: 'pass' })
  /** Refused with 403 `denied_by_hook`, in report mode too. The message is shown to the client, bounded and escaped. */
  | (Keep & { readonly verdict: 'deny'; readonly message?: string })
  /** No objection within these bounds. Methods and paths of what is inside a tunnel can only be seen under inspection. */
  | (Keep & {
      readonly verdict: 'narrow'
      readonly methods?: readonly string[]
      /** Path patterns, as a rule's `paths`. */
      readonly paths?: readonly string[]
      /** A tunnel is closed after so many seconds. */
      readonly seconds?: number
    })
  /** Let through although no entry lists it; only with `hooks.mayAllow`, and never what a deny rule refuses. */
  | (Keep & { readonly verdict: 'allow' })

/** One line of the audit log, as the log has it; see docs/configuration.md for what `audit` leaves out. */
export type HookEvent = AuditEvent

/** A hook: any of these, as the default export of its file. */
export interface Hook {
  /** Asked about each request that the policy would let through. What it does not answer in time is refused. */
  readonly onRequest?: (request: HookRequest) => HookResponse | Promise<HookResponse>
  /** Told of each request that was refused, or that report mode let through (`would_deny`). Nothing waits for it. */
  readonly onDenied?: (event: HookEvent) => void | Promise<void>
  /** Told of each tunnel that has ended. Nothing waits for it. */
  readonly onTunnelEnd?: (event: HookEvent) => void | Promise<void>
  /** Called before the process that runs the hooks ends, at a reload or with the gateway: it has two seconds, to send what it gathered. */
  readonly onStop?: () => void | Promise<void>
}

/** Gives a hook its types; at run time it returns what it is given. */
export function defineHook(hook: Hook): Hook {
  return hook
}

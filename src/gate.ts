import { hostname } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { AUDIT_EVENTS } from './core/audit-event.ts'
import type { ClientAddresses } from './core/config/listen.ts'
import type { Config, Limits } from './core/config.ts'
import { formatListenAddress, type ListenAddress } from './core/listen-address.ts'
import type { IpAddress } from './core/names/ip.ts'
import { everyEntry, type Policy } from './core/policy/policy.ts'
import { type WorkLeft, wait } from './ending.ts'
import { CredentialVerifier } from './io/credentials/verifier.ts'
import type { HookHost } from './io/hooks/hook-host.ts'
import { noticesOf } from './io/hooks/notices.ts'
import type { Admission, AdmissionHooks } from './io/proxy/admission.ts'
import { Dialer } from './io/proxy/dial.ts'
import { Exchanges } from './io/proxy/exchanges.ts'
import { Forwarder } from './io/proxy/forward.ts'
import type { Generation } from './io/proxy/generation.ts'
import { ClientListeners } from './io/proxy/listeners.ts'
import { OriginPool, type PoolLimits } from './io/proxy/origin-pool.ts'
import { isListener } from './io/proxy/own-listener.ts'
import { ParentDialer } from './io/proxy/parent-dial.ts'
import { PARENT_OUTCOMES, type ParentStatus, Parents, type ParentsHooks } from './io/proxy/parents.ts'
import type { ProxyContext } from './io/proxy/proxy-context.ts'
import { recheckTunnels } from './io/proxy/recheck.ts'
import { Resolver, type ResolverOptions } from './io/proxy/resolver.ts'
import { type OpenTunnel, Tunnels } from './io/proxy/tunnels.ts'
import { chooseRelay } from './io/relay/choose-relay.ts'
import { loadReadOriginal, type ReadOriginal } from './io/relay/original-destination.ts'
import type { Relay, RelayKind } from './io/relay/relay.ts'
import type { AuditSink } from './io/telemetry/audit-log.ts'
import type { Logger } from './io/telemetry/log.ts'
import type { Metrics } from './io/telemetry/metrics.ts'
import type { RecentDenials } from './io/telemetry/recent-denials.ts'
import { StallWatch } from './io/telemetry/stall-watch.ts'
import { type FullAuditEvent, Telemetry, type TelemetryObserver } from './io/telemetry/telemetry.ts'
import type { SettingsInForce } from './settings-in-force.ts'
import { VERSION } from './version.ts'

export interface GateOptions {
  readonly settings: SettingsInForce
  readonly metrics: Metrics
  readonly audit: Pick<AuditSink, 'write' | 'isWritable'>
  readonly admission: Admission
  readonly log: Logger
  /** Names with fixed addresses. */
  readonly hostsFile: string
  /** Name in `Via`: unique to the gateway, so that a request that comes back is recognised. */
  readonly via: string
  /** Listeners of this gateway beside the gate's own: nobody is led to them. */
  readonly ownListeners: () => readonly ListenAddress[]
  /** Whoever runs the gateway inside another program, and wants to be told. */
  readonly observer?: TelemetryObserver | undefined
  /** Client connections that this process may have; without it, what the config says. */
  readonly connections?: number
  /** How many processes share what is not dealt out one by one. */
  readonly processes?: number
}

/** Has an admission counted. */
export function countAdmission(metrics: Metrics): Omit<AdmissionHooks, 'limits' | 'groupTunnels'> {
  return {
    onHit: (limit) => metrics.limitHits.inc({ limit }),
    onChange: (open) => metrics.tunnelsOpen.set(open),
  }
}

/** Everything that carries requests, put together: one of it is a gateway's, or a worker's. */
export class Gate {
  readonly tunnels = new Tunnels((tunnel) => this.#onOpened(tunnel))
  readonly #exchanges = new Exchanges()
  readonly #settings: SettingsInForce
  readonly #metrics: Metrics
  readonly #log: Logger
  readonly #hostsFile: string
  readonly #ownListeners: () => readonly ListenAddress[]
  readonly #observer: TelemetryObserver | undefined
  readonly #telemetry: Telemetry
  readonly #audit: Pick<AuditSink, 'isWritable'>
  readonly #resolver: Resolver
  readonly #pool: OriginPool
  readonly #parents: Parents
  readonly #admission: Admission
  readonly #credentials: CredentialVerifier
  readonly #relay: Relay
  readonly #clients: ClientListeners
  readonly #stalls: StallWatch
  #connections: number | undefined
  #bound: ClientAddresses | undefined
  #refusesNew = false

  constructor({
    settings,
    metrics,
    audit,
    admission,
    log,
    hostsFile,
    via,
    ownListeners,
    observer,
    connections,
    processes = 1,
  }: GateOptions) {
    this.#observer = observer
    this.#settings = settings
    this.#metrics = metrics
    this.#log = log
    this.#hostsFile = hostsFile
    this.#ownListeners = ownListeners
    this.#connections = connections
    const { config } = this.#generation
    this.#audit = audit
    this.#telemetry = new Telemetry({ metrics, audit, ...this.#telemetrySettings() })
    this.#resolver = new Resolver(this.#resolverOptions(config))
    this.#pool = new OriginPool({
      limits: () => this.#poolLimits(processes),
      onHit: (limit) => metrics.limitHits.inc({ limit }),
      onChange: (idle) => metrics.originConnectionsIdle.set(idle),
    })
    this.#parents = new Parents({ now: () => performance.now(), ...watchParents(metrics, log) })
    this.#parents.configure(this.#generation.upstream)
    this.#admission = admission
    this.#credentials = new CredentialVerifier({
      failuresPerMinute: () =>
        Math.max(1, Math.floor(this.#generation.config.credentials.failuresPerMinutePerClient / processes)),
      nowMs: () => performance.now(),
    })
    this.#relay = chooseRelay(config.relay, {
      onTaken: (tunnels) => this.#clients.handedOver(tunnels),
      onTrouble: (errno) => log.error({ errno: getSystemErrorName(-errno) }, 'the kernel relay had to give a tunnel up'),
      onStandIn: (because) => log.warn({ because }, 'no kernel relay; the portable relay runs'),
    })
    this.#stalls = new StallWatch({ limitMs: () => this.#generation.config.limits.eventLoopStallMs, metrics, log })
    metrics.buildInfo.set({ version: VERSION, node: process.version, relay: this.#relay.kind }, 1)
    const context = this.#context(via)
    this.#clients = new ClientListeners(config, context, new Forwarder(context), this.#limits(), readOriginal)
  }

  /** Binds; throws what the system says. */
  async start(addresses: ClientAddresses): Promise<ClientAddresses> {
    // Hooks run by now.
    this.#telemetry.configure(this.#telemetrySettings())
    this.#bound = await this.#clients.start(addresses)
    this.#stalls.start()
    return this.#bound
  }

  /** Goes by the settings that have come into force; no connection is dropped but the tunnels that they would not open. */
  adopt(before: Generation): void {
    const generation = this.#generation
    const { config } = generation
    this.#clients.limit(this.#limits())
    this.#clients.secure(generation.access.tls)
    this.#telemetry.configure(this.#telemetrySettings())
    if (JSON.stringify(before.config.dns) !== JSON.stringify(config.dns))
      this.#resolver.reconfigure(this.#resolverOptions(config))
    this.#pool.retire(generation.number)
    this.#parents.configure(generation.upstream)
    this.#forgetEntries(before.policy)
    if (config.reload.tunnels === 'recheck') void this.#recheck(this.tunnels.list(), generation)
  }

  /** Calls back after each client connection that is accepted. */
  onConnection(callback: () => void): void {
    this.#clients.onConnection(callback)
  }

  /** Takes so many client connections from now on; those there are stay. */
  limitConnections(connections: number): void {
    this.#connections = connections
    this.#clients.limit(this.#limits())
  }

  get connections(): number {
    return this.#clients.connections
  }

  /** What moves the bytes of tunnels. */
  get relay(): RelayKind {
    return this.#relay.kind
  }

  /** The parent proxies, and what is known of each. */
  get parents(): readonly ParentStatus[] {
    return this.#parents.states()
  }

  get tunnelsOpen(): number {
    return this.#admission.tunnelsOpen
  }

  get denials(): RecentDenials {
    return this.#telemetry.denials
  }

  /** Takes a line about something that came as no request. */
  record(event: FullAuditEvent): void {
    this.#telemetry.audit(event)
  }

  /** Stops listening, and refuses what still comes on connections there are. */
  refuseNew(): WorkLeft {
    this.#refusesNew = true
    this.#clients.stop()
    return { tunnels: this.tunnels.size, requests: this.#exchanges.size }
  }

  /** Resolves once every request has its line. */
  settled(): Promise<void> {
    return this.#exchanges.settled()
  }

  /** Ends at once: open tunnels are closed, with their audit lines. */
  async close(): Promise<void> {
    this.#stalls.stop()
    this.refuseNew()
    this.tunnels.endAll('drain')
    await Promise.race([this.tunnels.empty(), wait(CLOSE_MS)])
    this.#relay.close()
    this.#clients.destroy()
    // What was under way learns of its end from its sockets, and leaves its line in the audit log then.
    await Promise.race([this.#exchanges.settled(), wait(CLOSE_MS)])
    this.#pool.retire(0)
    this.#resolver.close()
  }

  get #generation(): Generation {
    return this.#settings.generation
  }

  #telemetrySettings() {
    const { config, policy, auditKey } = this.#settings.settings
    const { audit, metrics } = config
    return {
      auditEvents: audit.events,
      deniedHosts: metrics.deniedHosts,
      entries: idsOf(policy),
      groups: groupNames(policy),
      clients: { shown: audit.clients, key: auditKey },
      observer: observerOf(this.#generation.hooks, this.#observer),
    }
  }

  #listeners(): readonly ListenAddress[] {
    return [...Object.values(this.#bound ?? {}), ...this.#ownListeners()]
  }

  #limits(): Limits {
    const { limits } = this.#generation.config
    return this.#connections === undefined ? limits : { ...limits, connections: this.#connections }
  }

  #poolLimits(processes: number): PoolLimits {
    const { originKeepAliveSeconds, originIdleConnections, originIdleConnectionsPerOrigin } = this.#generation.config.limits
    return {
      idleMs: originKeepAliveSeconds * 1000,
      connections: Math.ceil(originIdleConnections / processes),
      perOrigin: Math.ceil(originIdleConnectionsPerOrigin / processes),
    }
  }

  /** One that was judged by a policy that was replaced while it was being opened: no recheck has seen it. */
  #onOpened(tunnel: OpenTunnel): void {
    const generation = this.#generation
    if (tunnel.exchange.generation === generation || generation.config.reload.tunnels !== 'recheck') return
    // Whoever adds it is not done yet.
    queueMicrotask(() => void this.#recheck([tunnel], generation))
  }

  async #recheck(tunnels: readonly OpenTunnel[], generation: Generation): Promise<void> {
    const closed = await recheckTunnels(tunnels, generation, () => this.#generation === generation)
    if (closed > 0) this.#log.info({ closed, hash: generation.policy.hash }, 'closed tunnels that the new policy does not allow')
  }

  #resolverOptions({ dns }: Config): ResolverOptions {
    return {
      ...dns,
      servers: dns.servers.map(formatListenAddress),
      hostsFile: this.#hostsFile,
      onLookup: (outcome) => {
        this.#telemetry.countLookup(outcome)
        if (outcome === 'timeout') this.#metrics.limitHits.inc({ limit: 'dns_timeout' })
      },
      onEvict: () => this.#metrics.limitHits.inc({ limit: 'dns_cache_entries' }),
    }
  }

  /** Series of entries that are gone would pile up with every reload. */
  #forgetEntries(before: Policy): void {
    const kept = idsOf(this.#generation.policy)
    for (const { id, feature = 'rules' } of everyEntry(before)) {
      if (kept.has(id)) continue
      this.#metrics.entryHits.remove({ entry: id, feature })
      for (const direction of ['up', 'down']) this.#metrics.entryBytes.remove({ entry: id, direction })
    }
    const groups = groupNames(this.#generation.policy)
    for (const { name } of before.groups) {
      if (groups.has(name)) continue
      for (const verdict of AUDIT_EVENTS) this.#metrics.groupRequests.remove({ group: name, verdict })
    }
  }

  #context(via: string): ProxyContext {
    const isOwnListener = (address: IpAddress, port: number) => isListener(this.#listeners(), address, port)
    const dialer = new Dialer({
      resolver: this.#resolver,
      parentDialer: new ParentDialer({ resolver: this.#resolver, parents: this.#parents, isOwnListener, via }),
      rawDial: this.#relay.dial,
      dialMs: () => this.#generation.config.limits.dialSeconds * 1000,
      isOwnListener,
      onDialled: (outcome, seconds) => this.#metrics.dialSeconds.observe({ outcome }, seconds),
    })
    return {
      generation: () => this.#generation,
      dialer,
      pool: this.#pool,
      relay: this.#relay,
      telemetry: this.#telemetry,
      admission: this.#admission,
      credentials: this.#credentials,
      tunnels: this.tunnels,
      exchanges: this.#exchanges,
      log: this.#log,
      gateway: hostname(),
      via,
      isDraining: () => this.#refusesNew,
      mustWaitForAudit: () => this.#generation.config.audit.onFailure === 'deny' && !this.#audit.isWritable,
    }
  }
}

/** Has what becomes of parents counted, and told where it changes. */
function watchParents(metrics: Metrics, log: Logger): Omit<ParentsHooks, 'now'> {
  return {
    onAttempt: (proxy, outcome) => metrics.parentDials.inc({ proxy, outcome }),
    onState: (proxy, state, detail) => {
      metrics.parentUp.set({ proxy }, state === 'up' ? 1 : 0)
      if (state === 'up' && detail !== undefined) log.info({ proxy }, detail)
      else if (state === 'down') log.warn({ proxy, detail }, 'a parent proxy is down; another is tried first for a while')
      else if (state === 'refuses_credentials')
        log.error({ proxy, detail }, 'a parent proxy wants other credentials of the gateway')
    },
    onForgotten: (proxy) => {
      metrics.parentUp.remove({ proxy })
      for (const outcome of PARENT_OUTCOMES) metrics.parentDials.remove({ proxy, outcome })
    },
  }
}

/** Throws where the kernel cannot be asked: a transparent listener would not know where anybody was going. */
function readOriginal(): ReadOriginal {
  const read = loadReadOriginal()
  if (read.ok) return read.value
  throw new Error(`\`listen.transparent\` needs the kernel relay's addon, whatever \`relay\` says: ${read.error}`)
}

/** Where names have fixed addresses: everywhere but in tests. */
export const HOSTS_FILE = '/etc/hosts'

/** How long closed tunnels may take to flush their last bytes. */
const CLOSE_MS = 2_000

function idsOf(policy: Policy): ReadonlySet<string> {
  return new Set(everyEntry(policy).map(({ id }) => id))
}

function groupNames({ groups }: Policy): ReadonlySet<string> {
  return new Set(groups.map(({ name }) => name))
}

/** Hooks are told before the program that the gateway runs in; without either there is nobody. */
function observerOf(hooks: HookHost | undefined, program: TelemetryObserver | undefined): TelemetryObserver | undefined {
  if (hooks === undefined || !hooks.isTold) return program
  return {
    onDecision: (request) => program?.onDecision(request),
    onEvent: (event) => {
      for (const notice of noticesOf(event)) hooks.tell(notice, event)
      program?.onEvent(event)
    },
  }
}

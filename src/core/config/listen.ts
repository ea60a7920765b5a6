import { type ListenAddress, parseListenAddress } from '../listen-address.ts'
import { CidrSet } from '../names/cidr.ts'
import { z } from '../schema.ts'
import { cidr, parsed } from './fields.ts'

/** A listener for clients. */
export interface Listener extends ListenAddress {
  /** Every connection begins with a PROXY header, and only these sources may open one. */
  readonly proxyProtocol?: { readonly from: CidrSet }
}

/** Where the explicit proxy listens, and how it is spoken to. */
export interface ProxyListenAddress extends Listener {
  readonly tls?: ListenerTlsSettings
}

const address = parsed(parseListenAddress, '`address:port`; port 0 takes any free one')

const listener = (value: string, doc: string) =>
  z
    .union([address, z.strictObject({ address }).transform((object): ListenAddress => object.address)])
    .prefault(value)
    .describe(doc)

const file = (doc: string) => z.string().min(1).describe(doc)

const listenerTls = z
  .strictObject({
    certificate: file('PEM, with the chain behind it'),
    key: file('its private key, PEM, readable by its owner alone'),
    clientCa: file('PEM of the CAs that client certificates have to come from').optional(),
    crl: file('PEM of the revocation lists of those CAs, one for each CA of the chain').optional(),
    clientCertificates: z
      .enum(['required', 'optional'])
      .default('required')
      .describe('with `clientCa`: whether a client without a certificate is refused'),
  })
  .describe('clients speak TLS to the proxy (`https://` in their proxy settings); the files are loaded again when they change')
export type ListenerTlsSettings = z.output<typeof listenerTls>

const proxyProtocol = z
  .strictObject({
    from: z
      .array(cidr)
      .min(1)
      .transform((cidrs) => CidrSet.of(cidrs))
      .describe('load balancers that may open connections here, each of which has to begin with the header'),
  })
  .optional()
  .describe('the client is who the PROXY header (version 1 or 2) says; off by default')

const clientListener = z.union([
  address.transform((at): Listener => at),
  z
    .strictObject({ address, proxyProtocol })
    .transform(({ address: at, proxyProtocol: from }): Listener => (from === undefined ? at : { ...at, proxyProtocol: from })),
])

const transparent = z
  .strictObject({
    tls: clientListener.optional().describe('TLS, judged by its server name: TCP 443 is redirected here'),
    http: clientListener.optional().describe('plain HTTP, each request judged by its Host: TCP 80 is redirected here'),
    tcp: clientListener.optional().describe('all other ports: TLS and HTTP as above, anything else by its address alone'),
  })
  .prefault({})
  .describe('for connections that were redirected here and know of no proxy; none by default')

const proxyListener = z
  .union([
    address.transform((plain): ProxyListenAddress => plain),
    z.strictObject({ address, proxyProtocol, tls: listenerTls.optional() }).transform(
      ({ address: where, proxyProtocol: from, tls }): ProxyListenAddress => ({
        ...where,
        ...(from === undefined ? {} : { proxyProtocol: from }),
        ...(tls === undefined ? {} : { tls }),
      }),
    ),
  ])
  .prefault('127.0.0.1:3128')
  .describe('the explicit proxy')

export const listen = z
  .strictObject({
    proxy: proxyListener,
    transparent,
    metrics: listener('127.0.0.1:9464', '`/metrics`, `/livez` and `/readyz`, nothing else'),
    admin: listener('127.0.0.1:9465', '`/api/v1/...`; loopback only'),
  })
  .prefault({})
  .describe('where the gateway listens; the key names the listener in log and metrics')

export type Listen = z.output<typeof listen>

export const TRANSPARENT_LISTENERS = ['transparent.tls', 'transparent.http', 'transparent.tcp'] as const
export type TransparentListenerName = (typeof TRANSPARENT_LISTENERS)[number]

/** Names of the listeners for clients: the key in the config, and the `listener` label. */
export type ClientListenerName = 'proxy' | TransparentListenerName

/** The listeners for clients that there are to be, by name. */
export function clientListeners({ proxy, transparent }: Listen): ReadonlyMap<ClientListenerName, Listener> {
  const { tls, http, tcp } = transparent
  const all = [
    ['proxy', proxy],
    ['transparent.tls', tls],
    ['transparent.http', http],
    ['transparent.tcp', tcp],
  ] as const
  return new Map(all.flatMap(([name, listener]) => (listener === undefined ? [] : [[name, listener] as const])))
}

/** What each listener for clients is to listen on. */
export type ClientAddresses = { readonly proxy: ListenAddress } & { readonly [N in ClientListenerName]?: ListenAddress }

export function clientAddresses(listen: Listen): ClientAddresses {
  const others = [...clientListeners(listen)].map(([name, { address, port }]) => [name, { address, port }] as const)
  return { ...Object.fromEntries(others), proxy: { address: listen.proxy.address, port: listen.proxy.port } }
}

/** Every listener there is to be, by name. */
export function allListeners(listen: Listen): ReadonlyMap<string, ListenAddress> {
  return new Map<string, ListenAddress>([...clientListeners(listen), ['metrics', listen.metrics], ['admin', listen.admin]])
}

import type { Config } from '../config.ts'
import type { Policy } from './policy.ts'
import { privateEndpointNames } from './private-endpoint-names.ts'

/** What clients are told about the gateway, in the spellings that more than one place has in common. Nothing in it needs quoting in a shell. */
export interface ProxySettings {
  /** `http://HOST:PORT`, or `https://` where the listener speaks TLS; also for HTTPS: that is how one speaks to the proxy, not what is sent through it. */
  readonly url: string
  /** Names, addresses and `.suffix`es; never a `*` and never a range, which half of the readers do not know. */
  readonly noProxy: readonly string[]
}

/**
 * What no client may send through a proxy: itself, the instance metadata service, which would hand out the gateway's identity, and
 * Azure's own address for DNS and the host agent. As single addresses: neither curl before 7.86 nor Python reads ranges here.
 */
const ALWAYS_DIRECT = ['localhost', '127.0.0.1', '::1', '169.254.169.254', '168.63.129.16'] as const

/** What clients reach without the proxy: what no proxy may get, and the workspace's private endpoints, if it has any. */
export function directNames({ workspace }: Config, { cloud, entries }: Policy): readonly string[] {
  const endpoints = workspace.privateEndpoints.isEmpty ? [] : privateEndpointNames({ cloud, regions: workspace.regions, entries })
  return [...new Set([...ALWAYS_DIRECT, ...endpoints])]
}

/** Both spellings: curl reads only the small `http_proxy`, others only the capitals. */
export function variables({ url, noProxy }: ProxySettings): readonly (readonly [name: string, value: string])[] {
  const direct = noProxy.join(',')
  return [
    ['http_proxy', url],
    ['https_proxy', url],
    ['no_proxy', direct],
    ['HTTP_PROXY', url],
    ['HTTPS_PROXY', url],
    ['NO_PROXY', direct],
  ]
}

export function shellExports(settings: ProxySettings): readonly string[] {
  return variables(settings).map(([name, value]) => `export ${name}=${value}`)
}

/**
 * The same as a PAC file, in the JavaScript of 1999 that every reader of them knows. Everything but the direct names goes through the
 * proxy and nowhere else: without a `DIRECT` behind it, a browser does not try by itself what was refused.
 */
export function pacScript({ url, noProxy }: ProxySettings): string {
  const [, scheme, authority] = /^(https?):\/\/(.+)$/.exec(url) ?? []
  const proxy = `${scheme === 'https' ? 'HTTPS' : 'PROXY'} ${authority}`
  const exact = noProxy.filter((name) => !name.startsWith('.'))
  const suffixes = noProxy.filter((name) => name.startsWith('.'))
  return `function FindProxyForURL(url, host) {
  var exact = ${JSON.stringify(exact)};
  var suffixes = ${JSON.stringify(suffixes)};
  var name = host.toLowerCase().replace(/^\\[|\\]$/g, "").replace(/\\.$/, "");
  var i, at;
  for (i = 0; i < exact.length; i++) if (name === exact[i]) return "DIRECT";
  for (i = 0; i < suffixes.length; i++) {
    at = name.length - suffixes[i].length;
    if (at > 0 && name.substring(at) === suffixes[i]) return "DIRECT";
  }
  return ${JSON.stringify(proxy)};
}
`
}

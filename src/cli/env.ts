import type { ProxyListenAddress } from '../core/config/listen.ts'
import { formatListenAddress } from '../core/listen-address.ts'
import { isLoopback, isUnspecified } from '../core/names/special-purpose.ts'
import { directNames } from '../core/policy/client-settings.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type LoadedConfig, loadConfig } from '../io/config/load.ts'
import { isOneOf, PLACE_NAMES } from './choices.ts'
import { type CommandIo, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { PLACES } from './env-places.ts'
import type { ClientSettings } from './env-settings.ts'
import { chosenConfig } from './shipped-config.ts'

/** As they were typed. */
export interface EnvOptions {
  readonly config?: string
  readonly for: string
  readonly proxy?: string
  /** More names that clients reach without the proxy. */
  readonly direct?: readonly string[]
}

/** Prints what to set where, so that programs there use the gateway. */
export async function env(options: EnvOptions, io: CommandIo): Promise<number> {
  if (!isOneOf(PLACE_NAMES, options.for))
    return refuseUsage(
      `there is no place \`${options.for}\`; take one of ${PLACE_NAMES.map((name) => `\`${name}\``).join(', ')}`,
      io,
    )
  const direct = options.direct ?? []
  const wrong = direct.find((name) => !/^\.?[A-Za-z0-9:](?:[A-Za-z0-9.:-]*[A-Za-z0-9:])?$/.test(name))
  if (wrong !== undefined)
    return refuseUsage(
      `\`${wrong}\` cannot stand in NO_PROXY; write a name, an address, or \`.suffix\` for everything under it`,
      io,
    )
  const file = chosenConfig(options.config, io)
  const loaded = await loadConfig(file)
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const proxy = proxyUrl(options.proxy, loaded.value.config.listen.proxy)
  if (!proxy.ok) return refuseUsage(proxy.error, io)
  const place = PLACES[options.for]
  const settings = settingsOf(loaded.value, proxy.value, direct)
  io.stdout.write(place.print(settings))
  for (const line of place.advice(settings)) io.stderr.write(`${line}\n`)
  return EXIT.ok
}

function settingsOf({ config, compiled, inspection }: LoadedConfig, proxy: URL, direct: readonly string[]): ClientSettings {
  return {
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: Number(proxy.port === '' ? (proxy.protocol === 'https:' ? 443 : 80) : proxy.port),
    url: proxy.origin,
    noProxy: [...new Set([...directNames(config, compiled.policy), ...direct])],
    caPem: inspection?.authority.trustPem,
  }
}

/** What was typed, or where the config listens, as long as others can reach that. */
function proxyUrl(typed: string | undefined, listen: ProxyListenAddress): Result<URL, string> {
  const scheme = listen.tls === undefined ? 'http' : 'https'
  if (typed === undefined) {
    if (isLoopback(listen.address) || isUnspecified(listen.address) || listen.port === 0)
      return err(`say where clients reach the gateway, as in \`--proxy ${scheme}://10.0.0.4:${listen.port || 3128}\``)
    return ok(new URL(`${scheme}://${formatListenAddress(listen)}`))
  }
  const example = `write it as \`${scheme}://10.0.0.4:3128\``
  if (!typed.startsWith(`${scheme}://`) || !/^https?:\/\/[A-Za-z0-9.:[\]-]+\/?$/.test(typed) || !URL.canParse(typed))
    return err(`\`${typed}\` is no proxy's address; ${example}`)
  return ok(new URL(typed))
}

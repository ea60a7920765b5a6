/** What one types, and what it is for. */
export type Example = readonly [command: string, meaning: string]

export const EXAMPLES = {
  program: [
    ['sallyport check --config gateway.yaml', 'is it right?'],
    ['sallyport explain pypi.org:443', 'would that be let out, and why?'],
    ['sallyport serve --config gateway.yaml', ''],
  ],
  serve: [
    ['sallyport serve', 'with the config that comes with the package'],
    ['sallyport serve --config /etc/sallyport/gateway.yaml >> audit.jsonl', ''],
  ],
  check: [
    ['sallyport check', ''],
    ['sallyport check --strict --config gateway.yaml', 'in a pipeline: warnings fail too'],
  ],
  explain: [
    ['sallyport explain files.pythonhosted.org:443', ''],
    ['sallyport explain --method POST http://example.com/upload', 'plain HTTP shows path and method'],
    ['sallyport explain --client 10.0.0.7 --json pypi.org', ''],
    ['sallyport explain --group training pypi.org', 'by the policy of a client group'],
  ],
  entries: [
    ['sallyport entries | less -S', ''],
    ['sallyport entries --risk', 'what lets data out to others, first'],
    ["sallyport entries --json | jq -r '.[].patterns[].host'", ''],
  ],
  editions: [
    ['sallyport editions', ''],
    ['sallyport editions diff 2021-07-29 2026-03-19 --cloud government', ''],
  ],
  env: [
    ['eval "$(sallyport env --for shell --proxy http://10.0.0.4:3128)"', ''],
    ['sallyport env --for compute-instance --proxy http://10.0.0.4:3128 --config gateway.yaml > setup.sh', ''],
  ],
  suggest: [
    ['sallyport suggest --config gateway.yaml /var/log/sallyport/*.jsonl > suggested.yaml', ''],
    ['kubectl logs deploy/sallyport | sallyport suggest --config gateway.yaml --min-count 5 -', ''],
  ],
  import: [
    ['sallyport import --from squid /etc/squid/allowed-domains.txt', ''],
    ['az network firewall policy rule-collection-group show ... -o json | sallyport import --from azure-firewall -', ''],
  ],
  init: [['az ml workspace show --name ws --resource-group rg -o json | sallyport init --workspace - > gateway.yaml', '']],
  compare: [
    [
      'az rest --method get --url ".../workspaces/ws/outboundNetworkDependenciesEndpoints?api-version=2023-04-01" | sallyport compare --config gateway.yaml -',
      '',
    ],
  ],
  export: [
    ['sallyport export --config gateway.yaml --to azure-firewall-bicep --sources 10.0.1.0/24 > sallyport.bicep', ''],
    ['sallyport export --config gateway.yaml --to squid > /etc/squid/conf.d/sallyport.conf', ''],
  ],
  test: [['sallyport test --config gateway.yaml cases.yaml', 'in a pipeline: exit 1 where a case fails']],
  diff: [
    ['sallyport diff gateway.yaml new.yaml', ''],
    [
      'sallyport diff gateway.yaml new.yaml --replay /var/log/sallyport/audit.jsonl',
      'what of yesterday would be answered otherwise?',
    ],
  ],
  doctor: [
    ['sallyport doctor --config gateway.yaml', 'on the gateway itself, before clients ask'],
    ['sallyport doctor --config gateway.yaml --only --host your-storage.blob.core.windows.net', ''],
  ],
  credentials: [
    ['openssl rand -base64 24 | tee alice.password | sallyport credentials add --config gateway.yaml alice', ''],
    ['sallyport credentials add --file users.txt alice < alice.password', ''],
    ['sallyport credentials remove --config gateway.yaml alice', ''],
  ],
  subnet: [
    ['sallyport subnet --config gateway.yaml | less', 'what would be applied'],
    ['sallyport subnet --config gateway.yaml --apply --watch', 'as root, on the gateway'],
    ['sallyport subnet --config gateway.yaml --check', 'is everything in place?'],
    ['sallyport subnet --config gateway.yaml --azure bicep > subnet.bicep', ''],
  ],
  ca: [
    ['sallyport ca init --config gateway.yaml', ''],
    ['sallyport ca show --config gateway.yaml --pem > ca.pem', 'for clients to install'],
  ],
  routes: [
    ['sallyport routes --config gateway.yaml --compute public-ip', ''],
    ['sallyport routes --config gateway.yaml --addresses --format terraform > routes.tf', ''],
    ['sallyport routes --config gateway.yaml --diff ServiceTags_Public_20260713.json ServiceTags_Public_20260720.json', ''],
  ],
  health: [['sallyport health --config /etc/sallyport/gateway.yaml', 'as a container health check']],
} as const satisfies Record<string, readonly Example[]>

export function examples(list: readonly Example[]): string {
  const lines = list.map(([command, meaning]) => `  ${command}${meaning === '' ? '' : `\n      ${meaning}`}`)
  return `\nExamples:\n${lines.join('\n')}\n`
}

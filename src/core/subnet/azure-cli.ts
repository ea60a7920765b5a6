import type { AzureFacts } from './azure-side.ts'

/** Azure's side as commands of the az CLI, for a network that is there already; what the CLI cannot do is said. */
export function azureCli({ region, probePort, names }: AzureFacts): string {
  const rg = '--resource-group "$RG"'
  return `#!/bin/sh
# Made by \`sallyport subnet --azure cli\`. Fill in the first lines, then run it.
set -eu
RG=RESOURCE_GROUP
LOCATION=${region ?? 'REGION'}
VNET=VIRTUAL_NETWORK
CLIENT_SUBNET=SUBNET_OF_THE_COMPUTE
GATEWAY_PREFIX=10.0.9.0/24      # free, and not the clients' subnet: there the gateways' own traffic would be routed back to them
GATEWAY_ADDRESS=10.0.9.4        # free, in it: the next hop

# The gateways' way out.
az network public-ip create ${rg} --name ${names.natGateway}-ip --location "$LOCATION" --sku Standard --allocation-method Static
az network nat gateway create ${rg} --name ${names.natGateway} --location "$LOCATION" --public-ip-addresses ${names.natGateway}-ip --idle-timeout 10
az network vnet subnet create ${rg} --vnet-name "$VNET" --name ${names.gatewaySubnet} --address-prefixes "$GATEWAY_PREFIX" \\
  --nat-gateway ${names.natGateway} --default-outbound-access false

# An internal load balancer with HA ports as the next hop, and a probe that knows whether a gateway serves.
az network lb create ${rg} --name ${names.loadBalancer} --location "$LOCATION" --sku Standard --vnet-name "$VNET" --subnet ${names.gatewaySubnet} \\
  --frontend-ip-name next-hop --private-ip-address "$GATEWAY_ADDRESS" --backend-pool-name gateways
az network lb probe create ${rg} --lb-name ${names.loadBalancer} --name readyz --protocol Http --port ${probePort} --path /readyz \\
  --interval 5 --probe-threshold 2
az network lb rule create ${rg} --lb-name ${names.loadBalancer} --name all-ports --protocol All --frontend-port 0 --backend-port 0 \\
  --frontend-ip-name next-hop --backend-pool-name gateways --probe-name readyz --idle-timeout 30 --enable-tcp-reset true

# Two gateways. sallyport.yaml is deploy/cloud-init/sallyport.yaml with your config.
az vmss create ${rg} --name ${names.scaleSet} --location "$LOCATION" --orchestration-mode Uniform --instance-count 2 --zones 1 2 3 \\
  --image Debian:debian-12:12-gen2:latest --vm-sku Standard_D2s_v5 --vnet-name "$VNET" --subnet ${names.gatewaySubnet} \\
  --lb ${names.loadBalancer} --backend-pool-name gateways --upgrade-policy-mode Manual --disable-overprovision \\
  --accelerated-networking true --generate-ssh-keys --custom-data sallyport.yaml
# Without IP forwarding on the interface Azure drops what is not addressed to it, which is everything that clients send.
az vmss update ${rg} --name ${names.scaleSet} \\
  --set virtualMachineProfile.networkProfile.networkInterfaceConfigurations[0].enableIPForwarding=true
az vmss update-instances ${rg} --name ${names.scaleSet} --instance-ids '*'

# Batch's own storage by service endpoint, past the gateway. The policy that lets it reach no other account has the alias
# /services/Azure/MachineLearning, which the CLI cannot add: take it from \`sallyport subnet --azure bicep\`, or add it in the portal.
az network vnet subnet update ${rg} --vnet-name "$VNET" --name "$CLIENT_SUBNET" --service-endpoints Microsoft.Storage

# Last, once a gateway is ready: from here on the subnet's traffic goes through it.
az network route-table create ${rg} --name ${names.routeTable} --location "$LOCATION" --disable-bgp-route-propagation true
az network route-table route create ${rg} --route-table-name ${names.routeTable} --name internet-through-sallyport \\
  --address-prefix 0.0.0.0/0 --next-hop-type VirtualAppliance --next-hop-ip-address "$GATEWAY_ADDRESS"
az network vnet subnet update ${rg} --vnet-name "$VNET" --name "$CLIENT_SUBNET" --route-table ${names.routeTable}
`
}

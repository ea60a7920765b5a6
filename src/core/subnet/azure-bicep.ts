import type { AzureFacts } from './azure-side.ts'

/** Azure's side as a Bicep template: two gateways behind an internal load balancer, as the next hop of the clients' subnet. */
export function bicep({ clientRanges, region, probePort, names }: AzureFacts): string {
  const location = region === undefined ? 'resourceGroup().location' : `'${region}'`
  return `// Made by \`sallyport subnet --azure bicep\`. Deploy with:
//   az deployment group create --resource-group RG --template-file subnet.bicep \\
//     --parameters vnetName=VNET clientSubnetName=SUBNET gatewaySubnetPrefix=10.0.9.0/24 gatewayAddress=10.0.9.4 \\
//       storageAccountIds='["/subscriptions/.../storageAccounts/ACCOUNT"]' adminPublicKey="$(cat ~/.ssh/id_ed25519.pub)"
// The gateways are in a subnet of their own: in the clients' one, their own traffic would be routed back to them.

param location string = ${location}

@description('The virtual network, which is there already')
param vnetName string

@description('Subnet of the compute, which is there already; its prefix has to be given again, or it would be changed')
param clientSubnetName string
param clientSubnetPrefix string = '${clientRanges[0] ?? '10.0.1.0/24'}'

@description('Network security group of that subnet, if it has one: left out, it would be taken away')
param clientSecurityGroupId string = ''

@description('A free prefix for the gateways')
param gatewaySubnetPrefix string

@description('A free address in it: the next hop')
param gatewayAddress string

@description('Storage accounts of the workspace: with the policy, the service endpoint reaches no other')
param storageAccountIds array

@description('Base64 of deploy/cloud-init/sallyport.yaml with your config')
param customData string = loadFileAsBase64('sallyport.yaml')

param adminPublicKey string
param vmSize string = 'Standard_D2s_v5'

// One public address pools the SNAT ports of all clients; add more where many connections go to one origin.
resource natAddress 'Microsoft.Network/publicIPAddresses@2024-05-01' = {
  name: '${names.natGateway}-ip'
  location: location
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource nat 'Microsoft.Network/natGateways@2024-05-01' = {
  name: '${names.natGateway}'
  location: location
  sku: { name: 'Standard' }
  properties: {
    idleTimeoutInMinutes: 10
    publicIpAddresses: [{ id: natAddress.id }]
  }
}

resource vnet 'Microsoft.Network/virtualNetworks@2024-05-01' existing = {
  name: vnetName
}

// No route table here: what the gateways send must not come back to them.
resource gatewaySubnet 'Microsoft.Network/virtualNetworks/subnets@2024-05-01' = {
  parent: vnet
  name: '${names.gatewaySubnet}'
  properties: {
    addressPrefix: gatewaySubnetPrefix
    natGateway: { id: nat.id }
    defaultOutboundAccess: false
  }
}

resource balancer 'Microsoft.Network/loadBalancers@2024-05-01' = {
  name: '${names.loadBalancer}'
  location: location
  sku: { name: 'Standard' }
  properties: {
    frontendIPConfigurations: [
      {
        name: 'next-hop'
        zones: ['1', '2', '3']
        properties: {
          privateIPAllocationMethod: 'Static'
          privateIPAddress: gatewayAddress
          subnet: { id: gatewaySubnet.id }
        }
      }
    ]
    backendAddressPools: [{ name: 'gateways' }]
    probes: [
      {
        name: 'readyz'
        properties: { protocol: 'Http', port: ${probePort}, requestPath: '/readyz', intervalInSeconds: 5, probeThreshold: 2 }
      }
    ]
    loadBalancingRules: [
      {
        // HA ports: every port of every protocol, as a next hop needs it.
        name: 'all-ports'
        properties: {
          protocol: 'All'
          frontendPort: 0
          backendPort: 0
          enableTcpReset: true
          idleTimeoutInMinutes: 30
          frontendIPConfiguration: {
            id: resourceId('Microsoft.Network/loadBalancers/frontendIPConfigurations', '${names.loadBalancer}', 'next-hop')
          }
          backendAddressPool: {
            id: resourceId('Microsoft.Network/loadBalancers/backendAddressPools', '${names.loadBalancer}', 'gateways')
          }
          probe: { id: resourceId('Microsoft.Network/loadBalancers/probes', '${names.loadBalancer}', 'readyz') }
        }
      }
    ]
  }
}

resource gateways 'Microsoft.Compute/virtualMachineScaleSets@2024-07-01' = {
  name: '${names.scaleSet}'
  location: location
  zones: ['1', '2', '3']
  sku: { name: vmSize, capacity: 2 }
  properties: {
    orchestrationMode: 'Uniform'
    overprovision: false
    upgradePolicy: { mode: 'Manual' }
    virtualMachineProfile: {
      osProfile: {
        computerNamePrefix: 'egress'
        adminUsername: 'azureuser'
        customData: customData
        linuxConfiguration: {
          disablePasswordAuthentication: true
          ssh: { publicKeys: [{ path: '/home/azureuser/.ssh/authorized_keys', keyData: adminPublicKey }] }
        }
      }
      storageProfile: {
        imageReference: { publisher: 'Debian', offer: 'debian-12', sku: '12-gen2', version: 'latest' }
        osDisk: { createOption: 'FromImage', managedDisk: { storageAccountType: 'Premium_LRS' } }
      }
      networkProfile: {
        networkInterfaceConfigurations: [
          {
            name: 'nic'
            properties: {
              primary: true
              // Without it Azure drops what is not addressed to this interface, which is everything that clients send.
              enableIPForwarding: true
              enableAcceleratedNetworking: true
              ipConfigurations: [
                {
                  name: 'ip'
                  properties: {
                    subnet: { id: gatewaySubnet.id }
                    loadBalancerBackendAddressPools: [
                      { id: resourceId('Microsoft.Network/loadBalancers/backendAddressPools', '${names.loadBalancer}', 'gateways') }
                    ]
                  }
                }
              ]
            }
          }
        ]
      }
    }
  }
  dependsOn: [balancer]
}

resource routes 'Microsoft.Network/routeTables@2024-05-01' = {
  name: '${names.routeTable}'
  location: location
  properties: {
    disableBgpRoutePropagation: true
    routes: [
      {
        name: 'internet-through-sallyport'
        properties: { addressPrefix: '0.0.0.0/0', nextHopType: 'VirtualAppliance', nextHopIpAddress: gatewayAddress }
      }
    ]
  }
}

// Batch's own storage accounts are Microsoft's and have no fixed names: reached by service endpoint, past the gateway, and with this
// policy no other account is. An alias can be given in a template and in the portal, not with the CLI.
resource endpointPolicy 'Microsoft.Network/serviceEndpointPolicies@2024-05-01' = {
  name: '${names.endpointPolicy}'
  location: location
  properties: {
    serviceEndpointPolicyDefinitions: [
      {
        name: 'azureml'
        properties: { service: 'Global', serviceResources: ['/services/Azure/MachineLearning'] }
      }
      {
        name: 'workspace-storage'
        properties: { service: 'Microsoft.Storage', serviceResources: storageAccountIds }
      }
    ]
  }
}

// Last, once there is a gateway: from here on the subnet's traffic goes through it.
resource clientSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-05-01' = {
  parent: vnet
  name: clientSubnetName
  properties: {
    addressPrefix: clientSubnetPrefix
    networkSecurityGroup: empty(clientSecurityGroupId) ? null : { id: clientSecurityGroupId }
    routeTable: { id: routes.id }
    serviceEndpoints: [{ service: 'Microsoft.Storage' }]
    serviceEndpointPolicies: [{ id: endpointPolicy.id }]
    defaultOutboundAccess: false
  }
  dependsOn: [gateways, gatewaySubnet]
}

output nextHop string = gatewayAddress
`
}

package main

// From pods, namespaces and policies to the nftables rules of one node.

import (
	"fmt"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const table = "inet netpol"

type snapshotState struct {
	pods       []*corev1.Pod
	namespaces map[string]labels.Set
	policies   []*netv1.NetworkPolicy
}

// The same state must give the same text.
func (s *snapshotState) sort() {
	sort.Slice(s.pods, func(i, j int) bool { return s.pods[i].UID < s.pods[j].UID })
	sort.Slice(s.policies, func(i, j int) bool { return s.policies[i].UID < s.policies[j].UID })
}

func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	compiled, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && compiled.Matches(set)
}

// Has the pod an address of its own that may carry traffic?
func live(pod *corev1.Pod) bool {
	ended := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	return pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !ended
}

func (s *snapshotState) peerMatches(home string, peer *netv1.NetworkPolicyPeer, pod *corev1.Pod) bool {
	if peer.NamespaceSelector != nil {
		if !selects(peer.NamespaceSelector, s.namespaces[pod.Namespace]) {
			return false
		}
	} else if pod.Namespace != home {
		return false
	}
	return peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)
}

func (s *snapshotState) peers(home string, peer *netv1.NetworkPolicyPeer) (found []*corev1.Pod) {
	for _, pod := range s.pods {
		if live(pod) && s.peerMatches(home, peer, pod) {
			found = append(found, pod)
		}
	}
	return found
}

// The numbers that a port's name has in a pod.
func namedPorts(pod *corev1.Pod, name, protocol string) (found []string) {
	containers := append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...)
	for _, container := range containers {
		for _, port := range container.Ports {
			if port.Name == name && strings.EqualFold(string(port.Protocol), protocol) {
				found = append(found, fmt.Sprint(port.ContainerPort))
			}
		}
	}
	return found
}

// nftables matches for one port of a rule; `target` is the pod that listens, if known.
func portMatches(port *netv1.NetworkPolicyPort, target *corev1.Pod) (matches []string) {
	protocol := "tcp"
	if port.Protocol != nil {
		protocol = strings.ToLower(string(*port.Protocol))
	}
	switch {
	case port.Port == nil:
		return []string{"meta l4proto " + protocol}
	case port.Port.Type == intstr.String:
		if target == nil {
			return nil
		}
		for _, number := range namedPorts(target, port.Port.StrVal, protocol) {
			matches = append(matches, protocol+" dport "+number)
		}
		return matches
	case port.EndPort != nil:
		return []string{fmt.Sprintf("%s dport %d-%d", protocol, port.Port.IntVal, *port.EndPort)}
	default:
		return []string{fmt.Sprintf("%s dport %d", protocol, port.Port.IntVal)}
	}
}

func allPortMatches(ports []netv1.NetworkPolicyPort, target *corev1.Pod) (matches []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	for i := range ports {
		matches = append(matches, portMatches(&ports[i], target)...)
	}
	return matches
}

func blockMatch(side string, block *netv1.IPBlock) string {
	match := "ip " + side + " " + block.CIDR
	for _, except := range block.Except {
		match += " ip " + side + " != " + except
	}
	return match
}

// One direction of one pod.
type direction struct {
	state   *snapshotState
	pod     *corev1.Pod
	ingress bool
}

func (d direction) side() string {
	if d.ingress {
		return "saddr"
	}
	return "daddr"
}

func (d direction) kind() netv1.PolicyType {
	if d.ingress {
		return netv1.PolicyTypeIngress
	}
	return netv1.PolicyTypeEgress
}

// What one entry of a policy's ingress or egress list lets through.
func (d direction) allowed(home string, peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort) (rules []string) {
	listener := d.pod
	if !d.ingress {
		listener = nil
	}
	if len(peers) == 0 {
		return allPortMatches(ports, listener)
	}
	add := func(who string, target *corev1.Pod) {
		for _, match := range allPortMatches(ports, target) {
			rules = append(rules, who+" "+match)
		}
	}
	for i := range peers {
		if peers[i].IPBlock != nil {
			add(blockMatch(d.side(), peers[i].IPBlock), listener)
			continue
		}
		for _, other := range d.state.peers(home, &peers[i]) {
			target := listener
			if !d.ingress {
				target = other
			}
			add("ip "+d.side()+" "+other.Status.PodIP, target)
		}
	}
	return rules
}

func (d direction) ofPolicy(policy *netv1.NetworkPolicy) (rules []string) {
	if d.ingress {
		for _, rule := range policy.Spec.Ingress {
			rules = append(rules, d.allowed(policy.Namespace, rule.From, rule.Ports)...)
		}
		return rules
	}
	for _, rule := range policy.Spec.Egress {
		rules = append(rules, d.allowed(policy.Namespace, rule.To, rule.Ports)...)
	}
	return rules
}

func (d direction) applies(policy *netv1.NetworkPolicy) bool {
	if policy.Namespace != d.pod.Namespace || !selects(&policy.Spec.PodSelector, d.pod.Labels) {
		return false
	}
	for _, kind := range policy.Spec.PolicyTypes {
		if kind == d.kind() {
			return true
		}
	}
	return false
}

// The chain of one direction, and the jump to it; both empty when no policy selects the pod.
func (d direction) chain() (chain, jump string) {
	var rules []string
	isolated := false
	for _, policy := range d.state.policies {
		if d.applies(policy) {
			isolated = true
			rules = append(rules, d.ofPolicy(policy)...)
		}
	}
	if !isolated {
		return "", ""
	}
	name, address := "in_", "daddr"
	if !d.ingress {
		name, address = "out_", "saddr"
	}
	name += strings.ReplaceAll(string(d.pod.UID), "-", "")
	chain = fmt.Sprintf(" chain %s { # %s/%s\n", name, d.pod.Namespace, d.pod.Name)
	for _, rule := range rules {
		// An allowed direction returns, so that the other direction's chain is still asked.
		chain += "  " + strings.TrimSpace(rule+" return") + "\n"
	}
	chain += "  counter drop\n }\n"
	return chain, fmt.Sprintf("  ip %s %s jump %s\n", address, d.pod.Status.PodIP, name)
}

func (s *snapshotState) ruleset(node string) string {
	var chains, jumps strings.Builder
	for _, pod := range s.pods {
		if pod.Spec.NodeName != node || !live(pod) {
			continue
		}
		for _, ingress := range []bool{true, false} {
			chain, jump := direction{s, pod, ingress}.chain()
			chains.WriteString(chain)
			jumps.WriteString(jump)
		}
	}
	return "add table " + table + "\ndelete table " + table + "\ntable " + table + " {\n" + chains.String() +
		" chain forward { type filter hook forward priority 10; policy accept;\n" +
		"  ct state established,related accept\n" + jumps.String() + " }\n}\n"
}

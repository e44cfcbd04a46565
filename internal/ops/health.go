package ops

import "sync"

// The states of a stream, as /readyz and the metrics say them.
const (
	StateStarting     = "starting"
	StateStandby      = "standby"
	StateSnapshot     = "snapshot"
	StateStreaming    = "streaming"
	StateStopped      = "stopped"
	StateDisconnected = "disconnected"
)

// States lists all of them.
func States() []string {
	return []string{StateStarting, StateStandby, StateSnapshot, StateStreaming, StateStopped, StateDisconnected}
}

// Health is a state and why it is so.
type Health struct {
	State  string `json:"state"`
	Reason string `json:"reason"`
}

// Ready tells whether changes flow.
func (h Health) Ready() bool { return h.State == StateSnapshot || h.State == StateStreaming }

// HealthVar holds the current Health. Its zero value is starting. Safe for
// concurrent use.
type HealthVar struct {
	mu     sync.Mutex // guards the following
	health Health
	gauge  *StateGauge
}

// Observe makes g follow the state from now on.
func (v *HealthVar) Observe(g *StateGauge) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gauge = g
	g.Set(v.get().State)
}

// Set changes state and reason, and tells whether the state is another one than
// before.
func (v *HealthVar) Set(state, reason string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := v.get().State != state
	v.health = Health{state, reason}
	if v.gauge != nil {
		v.gauge.Set(state)
	}
	return changed
}

// Get is the current Health.
func (v *HealthVar) Get() Health {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.get()
}

func (v *HealthVar) get() Health {
	if v.health.State == "" {
		return Health{State: StateStarting}
	}
	return v.health
}

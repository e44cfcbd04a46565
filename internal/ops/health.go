package ops

// The states of a stream, as /readyz and the metrics say them.
const (
	StateStarting     = "starting"
	StateStandby      = "standby"
	StateSnapshot     = "snapshot"
	StateStreaming    = "streaming"
	StateStopped      = "stopped"
	StateDisconnected = "disconnected"
)

// Health is a state and why it is so.
type Health struct {
	State  string `json:"state"`
	Reason string `json:"reason"`
}

// Ready tells whether changes flow.
func (h Health) Ready() bool { return h.State == StateSnapshot || h.State == StateStreaming }

package topic

// Topic is what the control plane says of a topic.
type Topic struct {
	Name       string
	ID         ID
	Partitions int32
	Share      string
	Internal   bool
	Config     Config
	// Overrides are the configs set on the topic, as text.
	Overrides map[string]string
}

// Query asks the control plane for topics, by name, by id, or for all.
type Query struct {
	All   bool
	Names []string
	IDs   []ID
	// Create asks for missing names to be created with the cluster's defaults, where allowed.
	Create bool
}

// Found answers for one topic of a Query: those asked for in order, names before ids; or all, by name.
type Found struct {
	Topic Topic
	Code  int16 // Kafka error code: 0, 3, 17, 29, 100
}

package containers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	urls "net/url"
	"testing"
	"time"
)

var elasticsearchSpec = spec{
	server: "elasticsearch",
	title:  "Elasticsearch",
	port:   "9200/tcp",
	env: map[string]string{
		"discovery.type":         "single-node",
		"xpack.security.enabled": "false",
		"ES_JAVA_OPTS":           "-Xms512m -Xmx512m",
		// Tests create many small indices. A full disk must not make them read-only.
		"cluster.max_shards_per_node":                       "10000",
		"cluster.routing.allocation.disk.threshold_enabled": "false",
	},
	// Of the official image and of the packed one.
	data:  []string{"/usr/share/elasticsearch/data", "/opt/elasticsearch/data"},
	wait:  3 * time.Minute,
	url:   httpURL,
	addr:  httpAddr,
	probe: probeElasticsearch,

	topologies: map[string]topology{"nodes": startNodes},
}

// Elasticsearch returns the Elasticsearch of this test process, a single node
// without a password. With SOJOURN_ELASTICSEARCH_TOPOLOGY=nodes it is one of
// three. A packed image lacks scripts, security,
// _update_by_query, _delete_by_query and GET /.
func Elasticsearch(t testing.TB) Server {
	t.Helper()
	return elasticsearchSpec.serve(t)
}

func probeElasticsearch(ctx context.Context, url string) (name, version string, err error) {
	base, err := urls.Parse(url)
	if err != nil {
		return "", "", &finalError{withoutURL(err)}
	}
	health := base.JoinPath("_cluster/health")
	health.RawQuery = "wait_for_status=yellow&timeout=1s" // after the timeout it answers with another status
	got, err := get(ctx, health.String())
	if err != nil {
		return "", "", err
	}
	if got.status != http.StatusOK {
		return "", "", got.unexpected("Elasticsearch's health check")
	}
	nodes := base.JoinPath("_nodes/_local")
	nodes.RawQuery = "filter_path=nodes.*.version"
	got, err = get(ctx, nodes.String())
	if err != nil {
		return "", "", err
	}
	if got.status != http.StatusOK {
		return "", "", got.unexpected("Elasticsearch's list of nodes")
	}
	version, err = elasticsearchVersion(got.body)
	// Its forks do not send this header.
	return cmp.Or(got.header.Get("X-Elastic-Product"), "a fork of Elasticsearch"), version, err
}

func elasticsearchVersion(nodes []byte) (string, error) {
	var list struct {
		Nodes map[string]struct {
			Version string `json:"version"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(nodes, &list); err != nil {
		return "", err
	}
	for _, node := range list.Nodes {
		return node.Version, nil
	}
	return "", errors.New("the cluster has no node yet")
}

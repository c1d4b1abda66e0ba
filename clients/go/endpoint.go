package aegis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// defaultEndpoint is where `aegis serve` listens by default.
const defaultEndpoint = "http://127.0.0.1:50051"

// An endpoint is where a daemon is.
type endpoint struct {
	// text is how it was written.
	text string
	// target is how gRPC writes it.
	target string
	// tls says whether it speaks TLS.
	tls bool
	// private says whether nobody on the way can read what is sent: TLS, a unix socket, loopback.
	private bool
}

func parseEndpoint(text string) (endpoint, error) {
	wrong := func(why string) (endpoint, error) {
		return endpoint{}, fmt.Errorf("aegis: the endpoint %q %s: write http://HOST:PORT, https://HOST:PORT or unix:/PATH", text, why)
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if !strings.HasPrefix(path, "/") {
			return wrong("has no absolute path")
		}
		// gRPC reads a target as a URL.
		return endpoint{text: text, target: "unix:" + (&url.URL{Path: path}).EscapedPath(), private: true}, nil
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return wrong("is not a URL")
	}
	ports := map[string]string{"http": "80", "https": "443"}
	port, ok := ports[parsed.Scheme]
	if !ok {
		return wrong("has no scheme that is known")
	}
	if parsed.Port() != "" {
		port = parsed.Port()
	}
	switch {
	case parsed.Hostname() == "":
		return wrong("has no host")
	case parsed.User != nil:
		return wrong("has a user in it")
	case strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "":
		return wrong("goes on after the port")
	}
	return endpoint{
		text:    text,
		target:  "dns:///" + net.JoinHostPort(parsed.Hostname(), port),
		tls:     parsed.Scheme == "https",
		private: parsed.Scheme == "https" || loopback(parsed.Hostname()),
	}, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// tlsFiles are PEM files, each empty where there is none.
type tlsFiles struct{ ca, certificate, key string }

// orEnvironment fills in what was not given.
func (f tlsFiles) orEnvironment() tlsFiles {
	if f.ca == "" {
		f.ca = os.Getenv("AEGIS_TLS_CA")
	}
	if f.certificate == "" && f.key == "" {
		f.certificate, f.key = os.Getenv("AEGIS_TLS_CERT"), os.Getenv("AEGIS_TLS_KEY")
	}
	return f
}

func (f tlsFiles) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("aegis: the authorities of TLS cannot be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("aegis: %s holds no certificate in PEM", f.ca)
		}
	}
	if f.certificate == "" && f.key == "" {
		return config, nil
	}
	if f.certificate == "" || f.key == "" {
		return nil, errors.New("aegis: a client certificate needs both AEGIS_TLS_CERT and AEGIS_TLS_KEY, or WithTLSCertificate")
	}
	certificate, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return nil, fmt.Errorf("aegis: the client certificate cannot be used: %w", err)
	}
	config.Certificates = []tls.Certificate{certificate}
	return config, nil
}

package aegis

import (
	"io/fs"
	"os"
	"path/filepath"
)

// defaultDataDir is the data directory that `aegis serve` and the command line use by default. Empty: there is no home for it.
func defaultDataDir() string {
	if named := os.Getenv("AEGIS_DATA_DIR"); named != "" {
		absolute, err := filepath.Abs(named)
		if err != nil {
			return ""
		}
		return absolute
	}
	// The XDG specification says that a relative path is to be ignored.
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "aegis")
	}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "aegis")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/aegis"
	}
	return ""
}

// localEndpoint is where the daemon of this user is: the socket for agents in its data directory, where that is there. Only who
// may write to that directory can put a socket there. A port is anybody's who is first, and is for agents of other users.
func localEndpoint() string {
	if directory := defaultDataDir(); directory != "" {
		socket := filepath.Join(directory, "agent.sock")
		if info, err := os.Stat(socket); err == nil && info.Mode().Type() == fs.ModeSocket {
			return "unix:" + socket
		}
	}
	return defaultEndpoint
}

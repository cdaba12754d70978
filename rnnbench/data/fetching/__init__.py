"""Getting raw data: sources with checksums, mirrors, archives, folders kept between runs."""
